// test helpers: an image whose workload tells everything about its guest, made with the command that
// users make theirs with.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';
import { untilPasses } from '../helpers/until.ts';
import type { Daemon } from './daemon.ts';

/** Each path is a command; its output is the answer. */
const COMMANDS: Readonly<Record<string, string>> = {
  cmdline: 'cat /proc/cmdline',
  mac: 'cat /sys/class/net/eth0/address',
  address: "ip -o -4 addr show eth0 | awk '{print $4}'",
  links: 'ls /sys/class/net',
  hostname: 'hostname',
  slow: 'sleep 6; hostname',
  nap: 'sleep 1; echo slept',
  processors: 'nproc',
  memory: "awk '/MemTotal/{print int($2/1024)}' /proc/meminfo",
  resolv: 'cat /etc/resolv.conf',
  environment: 'env',
  echo: 'printf \'{"host":"%s","got":\' "$(hostname)"; head -c "$CONTENT_LENGTH"; echo "}"',
  count: 'wc -c',
  large: 'head -c 20000000 /dev/zero',
  console: 'echo to-the-console >/dev/console; echo done',
  poweroff: '(sleep 1; kill -USR2 1) >/dev/null 2>&1 & echo bye',
  panic: '(sleep 1; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 & echo bye',
  reboot: '(sleep 1; reboot -f) >/dev/null 2>&1 & echo bye',
  nvme: 'cat /sys/class/nvme/nvme0/serial; dd if=/dev/nvme0n1 bs=1M skip=15 2>/dev/null | head -c 6',
  pci: 'cd /sys/bus/pci/devices; for d in *; do echo $d $(cat $d/vendor $d/device); done',
  ping: 'ping -c 2 -W 1 "$QUERY_STRING"',
  'forge-address':
    'ip addr add 192.168.127.200/24 dev eth0; ping -c 2 -W 1 -I 192.168.127.200 192.168.127.1',
  'forge-mac':
    'ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:99; ip link set eth0 up; ping -c 2 -W 1 192.168.127.1',
  disks:
    'cd /sys/block; for d in vd*; do echo $d $(cat $d/serial) $(cat $d/size) $(cat $d/ro); done',
  write: 'echo "$QUERY_STRING" | dd of=/dev/vda conv=notrunc,fsync 2>&1; head -c 12 /dev/vda',
  fill: '(dd if=/dev/urandom of=/dev/vda bs=1M count=8 conv=fsync && echo all >/tmp/filled) >/dev/null 2>&1 & echo begun',
  filled: 'cat /tmp/filled',
  read: 'head -c 12 /dev/"$QUERY_STRING"',
  orphans: "for i in 1 2 3; do (sleep 0.1 &) ; done; sleep 0.5; ps | awk '/Z/{n++} END{print n+0}'",
};

/** Resolves when a ping of a guest loses nothing: on a host that is busy it may lose some. `ping` gives its output. */
export function reaches(ping: () => Promise<string>): Promise<void> {
  return untilPasses(async () => assert.match(await ping(), / 0% packet loss/));
}

/** Makes the image and installs it as plugin `probe`. */
export async function installProbe(daemon: Daemon, more: object = {}): Promise<void> {
  const overlay = join(daemon.home, 'overlay');
  const directory = join(overlay, 'srv/cgi-bin');
  mkdirSync(directory, { recursive: true });
  for (const [name, command] of Object.entries(COMMANDS)) {
    const script = `#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n${command}\n`;
    writeFileSync(join(directory, name), script);
    chmodSync(join(directory, name), 0o755);
  }
  const image = join(daemon.home, 'images/probe.cpio');
  const tool = join(PROJECT_ROOT, 'scripts/image.mjs');
  // Not synchronous: in the lab this takes longer than a server keeps an idle connection, and a
  // process that is blocked does not see that the connection has ended.
  await promisify(execFile)(process.execPath, [tool, overlay, '--output', image]);
  const answer = await daemon.call('POST', '/api/v1/plugins', {
    schema_version: '1.0',
    name: 'probe',
    version: '1',
    runtime: 'probe',
    resources: { cpu_cores: 1, memory_mb: 128 },
    initramfs: { url: `file://${image}` },
    workload: {
      type: 'http',
      base_url: 'http://127.0.0.1:8000',
      entrypoint: [
        '/bin/sh',
        '-c',
        'echo workload-started; exec httpd -f -p 127.0.0.1:8000 -h /srv',
      ],
    },
    health_check: { endpoint: '/cgi-bin/hostname', timeout_ms: 10_000 },
    ...more,
  });
  if (answer.status !== 201) throw new Error(answer.text);
}
