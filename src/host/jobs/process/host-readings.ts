// jobs, process: measures the load of the host, and reads which name servers it uses.

import { readFileSync } from 'node:fs';
import type { CpuSample, JobArgument, JobResult } from '../protocol.ts';

/** Length of the first sample, when there is no earlier one to compare with. */
const FIRST_SAMPLE_MS = 100;

/** Clock ticks of a second in files of /proc: the same on every x86-64 kernel (proc(5), USER_HZ). */
export const TICKS_PER_SECOND = 100;

/** Returns CPU and memory use in percent. CPU use is the average since the sample `before`. */
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

/** Reads what the kernel counted and has. Only reads. */
export function readHost(): JobResult<'readHost'> {
  const seconds = cpuTicks().map((ticks) => ticks / TICKS_PER_SECOND);
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] =
    seconds;
  const memory = readFileSync('/proc/meminfo', 'utf8');
  const bytes = (name: string) => kibIn(memory, name) * 1024;
  const loads = readFileSync('/proc/loadavg', 'utf8').split(' ').map(Number);
  return {
    readAtMs: Date.now(),
    userSeconds: user + nice,
    systemSeconds: system + irq + softirq,
    idleSeconds: idle,
    iowaitSeconds: iowait,
    stealSeconds: steal,
    memoryTotalBytes: bytes('MemTotal'),
    memoryAvailableBytes: bytes('MemAvailable'),
    swapTotalBytes: bytes('SwapTotal'),
    swapFreeBytes: bytes('SwapFree'),
    loadAverages: [loads[0] ?? 0, loads[1] ?? 0, loads[2] ?? 0],
  };
}

/** The first line of /proc/stat (proc(5)): user nice system idle iowait irq softirq steal, in ticks. */
function cpuTicks(): readonly number[] {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  return line.trim().split(/\s+/).slice(1, 9).map(Number);
}

function sampleCpu(): CpuSample {
  const ticks = cpuTicks();
  const total = ticks.reduce((sum, value) => sum + value, 0);
  const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0);
  return { busy: total - idle, total };
}

function memoryPercent(): number {
  const text = readFileSync('/proc/meminfo', 'utf8');
  const total = kibIn(text, 'MemTotal');
  return percent(total - kibIn(text, 'MemAvailable'), total);
}

/** A line of /proc/meminfo; 0 if there is none. */
function kibIn(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

/** A finite number from 0 to 100 with one decimal. */
function percent(part: number, whole: number): number {
  if (!(whole > 0)) return 0;
  return Math.round(Math.min(100, Math.max(0, (part / whole) * 100)) * 10) / 10;
}
