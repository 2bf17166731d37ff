#!/bin/sh
# The hello workload: answers who this guest is, as JSON. Run by busybox httpd for "/", which sends the
# head as it is: its lines must end as HTTP wants it.

read -r uptime_seconds _ < /proc/uptime
memory_kb=$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)
address=$(ip -4 -o addr show dev eth0 | sed -n 's/.* inet \([0-9.]*\).*/\1/p')

printf 'Content-Type: application/json\r\n\r\n'
cat <<ANSWER
{
  "message": "Hello from inside a microVM",
  "name": "$(hostname)",
  "address": "$address",
  "kernel": "$(uname -r)",
  "processors": $(grep -c ^processor /proc/cpuinfo),
  "memory_mb": $((memory_kb / 1024)),
  "uptime_seconds": $uptime_seconds
}
ANSWER
