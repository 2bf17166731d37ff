// workers, job: how busy the host is and which name servers it uses.

import { readFileSync } from 'node:fs';
import { parseIpv4 } from '../../lib/ipv4.ts';
import type { CpuSample, JobArgument, JobResult } from '../protocol.ts';
import { errnoOf } from './fault.ts';

/** How long the very first sample is, when there is no earlier one to compare with. */
const FIRST_SAMPLE_MS = 100;

export function measureUsage({ before }: JobArgument<'measureUsage'>): JobResult<'measureUsage'> {
  let earlier = before;
  if (earlier === null) {
    earlier = sampleCpu();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FIRST_SAMPLE_MS);
  }
  const after = sampleCpu();
  return {
    after,
    cpuPercent: percent(after.busy - earlier.busy, after.total - earlier.total),
    memPercent: memoryPercent(),
  };
}

/** The second is that of systemd-resolved, whose own stub on the loopback is all that the first names then. */
const RESOLVER_FILES = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];

/** IPv4 name servers that a guest can reach: a resolver on the host's loopback is none. */
export function readNameServers(
  _argument: object = {},
  paths: readonly string[] = RESOLVER_FILES,
): readonly string[] {
  for (const path of paths) {
    const servers = nameServersIn(path);
    if (servers.length > 0) return servers;
  }
  return [];
}

function nameServersIn(path: string): readonly string[] {
  try {
    return [...readFileSync(path, 'utf8').matchAll(/^\s*nameserver\s+(\S+)/gm)]
      .map((match) => match[1] ?? '')
      .filter((address) => parseIpv4(address) !== null && !address.startsWith('127.'));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** First line of /proc/stat (proc(5)): user nice system idle iowait irq softirq steal, in ticks. */
function sampleCpu(): CpuSample {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  const total = ticks.reduce((sum, value) => sum + value, 0);
  const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0);
  return { busy: total - idle, total };
}

function memoryPercent(): number {
  const text = readFileSync('/proc/meminfo', 'utf8');
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  const total = kib('MemTotal');
  return percent(total - kib('MemAvailable'), total);
}

/** Always finite, 0 to 100, one decimal. */
function percent(part: number, whole: number): number {
  if (!(whole > 0)) return 0;
  return Math.round(Math.min(100, Math.max(0, (part / whole) * 100)) * 10) / 10;
}
