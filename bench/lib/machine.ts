// bench: what the machine did beside the measurement: time that its host took away, and programs of others. The
// benchmarks run in a process namespace of their own, so that every process in /proc is part of the measurement.

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** The kernel counts the time of processes in hundredths of a second, whatever its own clock is. */
const TICKS_PER_SECOND = 100;

/** Shares of all processors of the machine. */
export const OTHERS_SHARE_MAX = 0.05;
export const STEAL_SHARE_MAX = 0.05;
/** Share of the time of one processor: a generator that has no time left measures itself. */
export const GENERATOR_SHARE_MAX = 0.95;

export interface Load {
  /** What programs took that are no part of the measurement. */
  readonly others: number;
  /** What the host of this machine gave to somebody else. */
  readonly steal: number;
}

export interface Sample {
  readonly processors: number;
  readonly userTicks: number;
  readonly stealTicks: number;
  readonly ownUserTicks: number;
  readonly atMs: number;
}

/** Reads a few files of /proc and one for each process. */
export function sampleMachine(): Sample {
  const stat = parseStat(readFileSync('/proc/stat', 'utf8'));
  return { ...stat, ownUserTicks: ownUserTicks(), atMs: performance.now() };
}

/** The first lines of /proc/stat. */
export function parseStat(text: string): Pick<Sample, 'processors' | 'userTicks' | 'stealTicks'> {
  const [, ...fields] = (/^cpu .*$/m.exec(text)?.[0] ?? '').split(/\s+/).map(Number);
  const [user = 0, nice = 0] = fields;
  return {
    processors: [...text.matchAll(/^cpu\d+ /gm)].length,
    userTicks: user + nice,
    stealTicks: fields[7] ?? 0,
  };
}

/** What happened between two samples. Others are recognised by time outside of the kernel, which nobody spends for them. */
export function loadBetween(before: Sample, after: Sample): Load {
  const ticks = ((after.atMs - before.atMs) / 1000) * TICKS_PER_SECOND * after.processors;
  if (ticks <= 0) return { others: 0, steal: 0 };
  const ownTicks = after.ownUserTicks - before.ownUserTicks;
  const othersTicks = after.userTicks - before.userTicks - ownTicks;
  return {
    others: Math.max(0, othersTicks / ticks),
    steal: Math.max(0, (after.stealTicks - before.stealTicks) / ticks),
  };
}

/** Of all processes that are seen, with those of their children that have ended. */
function ownUserTicks(): number {
  let ticks = 0;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const { userTicks, endedUserTicks } = readTimes(Number(name));
    ticks += userTicks + endedUserTicks;
  }
  return ticks;
}

const SETTLE_LOOK_MS = 40;
const SETTLE_MS_MAX = 1_000;
const SETTLED_SHARE = 0.1;

/**
 * Waits until the kernel has done what earlier work has left to it (taps that are freed after their grace periods, files
 * that are written back), for a second at most: it would be charged to what is measured next.
 */
export async function settle(): Promise<void> {
  const deadline = performance.now() + SETTLE_MS_MAX;
  let before = busyTicks();
  while (performance.now() < deadline) {
    await pause(SETTLE_LOOK_MS);
    const after = busyTicks();
    const all = after.all - before.all;
    if (all > 0 && (after.busy - before.busy) / all <= SETTLED_SHARE) return;
    before = after;
  }
}

function busyTicks(): { readonly busy: number; readonly all: number } {
  const line = /^cpu .*$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[0] ?? '';
  // Guest time, the last two, is in user time as well.
  const fields = line.split(/\s+/).slice(1, 9).map(Number);
  const all = fields.reduce((sum, ticks) => sum + ticks, 0);
  return { all, busy: all - (fields[3] ?? 0) - (fields[4] ?? 0) };
}

interface Times {
  readonly userTicks: number;
  readonly systemTicks: number;
  readonly endedUserTicks: number;
}

/** All zero for a process that is gone. */
function readTimes(pid: number): Times {
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    // It ended between the listing and the read; its parent has its time then.
    if (isGone(error)) return { userTicks: 0, systemTicks: 0, endedUserTicks: 0 };
    throw error;
  }
}

/** The name may have spaces and parentheses: fields are counted from its end. */
export function parseProcessStat(text: string): Times {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    userTicks: Number(fields[11]),
    systemTicks: Number(fields[12]),
    endedUserTicks: Number(fields[13]),
  };
}

/** Processor time that a process has had, all of its threads together. */
export function cpuSecondsOf(pid: number): number {
  const { userTicks, systemTicks } = readTimes(pid);
  return (userTicks + systemTicks) / TICKS_PER_SECOND;
}

/** The same in nanoseconds' precision, for a process that does next to nothing. Threads that have ended are not in it. */
export function exactCpuSecondsOf(pid: number): number {
  let nanoseconds = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const [running] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ');
    nanoseconds += Number(running);
  }
  return nanoseconds / 1e9;
}

/**
 * Memory that a process takes from others, in bytes. Pages that several share are divided among them. Pages of files, such
 * as programs, are not in it: the kernel takes them back when it needs room.
 */
export function memoryOf(pid: number): number {
  return parseRollup(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
}

export function parseRollup(text: string): number {
  const kilobytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN);
  return (kilobytes('Pss_Anon') + kilobytes('Pss_Shmem')) * 1024;
}

function isGone(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : '';
  return code === 'ENOENT' || code === 'ESRCH';
}
