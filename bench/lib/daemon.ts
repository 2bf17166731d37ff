// bench: a daemon to measure, in a process of its own and on a home of its own.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { LoopDelay } from '../loop-delay.ts';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
export const IMAGES = join(ROOT, 'build/images');

/** A daemon of VMs without guests that writes no log of what goes well. */
export const SIMULATED = { VOLANT_HYPERVISOR: 'simulator', VOLANT_LOG_LEVEL: 'warn' };

const START_TIMEOUT_MS = 30_000;

export interface BenchDaemon {
  readonly port: number;
  readonly home: string;
  /** Of the process that runs now. */
  readonly pid: number;
  /** From its first start to its first answer about its health, and to its first list. */
  readonly startMs: { readonly healthy: number; readonly listed: number };
  call(method: string, path: string, body?: object): Promise<{ status: number; text: string }>;
  /** Throws where another status is answered. Returns the body. */
  expect(status: number, method: string, path: string, body?: object): Promise<string>;
  /** How late the main thread was since the last call; for daemons that were started with `watchesLoop`. */
  loopDelay(): Promise<LoopDelay>;
  /** Keeps the main thread on one processor; worker threads go where they like. */
  pinMainThread(processor: number): void;
  /** Ends it by SIGKILL; its VMs keep running. */
  kill(): Promise<void>;
  /** Starts it again on the same home. Resolves when it answers. */
  startAgain(): Promise<void>;
  stop(): Promise<void>;
}

export interface DaemonOptions {
  /** The processors that the daemon and all that it starts may use, as taskset takes them. */
  readonly processors?: string;
  readonly watchesLoop?: boolean;
  /**
   * Run directories are in memory, records on the disk as ever. ext4 without a journal does not reuse an inode for minutes
   * after its file was removed, and passes over all of those for each new file: the more deletes, the longer a create.
   */
  readonly runsInMemory?: boolean;
  /** Fills the home before the daemon is started in it. */
  readonly prepare?: (home: string) => Promise<void>;
  /** Is called when the daemon has ended, before what is left of its VMs is removed. */
  readonly clear?: (home: string) => Promise<void>;
}

/** The server closes a connection that was idle for ten seconds. */
const IDLE_MS = 5_000;

let nextPort = 21_000;

/** Ends each daemon that runs, and removes what it has made. */
const running = new Set<() => Promise<void>>();
let isInterrupted = false;

/** Ends all daemons for a run that is given up. No more are started. */
export async function endDaemons(): Promise<void> {
  isInterrupted = true;
  await Promise.allSettled([...running].map((end) => end()));
}

export async function startDaemon(
  settings: Record<string, string>,
  options: DaemonOptions = {},
): Promise<BenchDaemon> {
  const { processors, watchesLoop = false, runsInMemory = false } = options;
  if (isInterrupted) throw new Error('the run is given up');
  const home = mkdtempSync(join(tmpdir(), 'volant-bench-'));
  mkdirSync(join(home, 'images'));
  symlinkSync(join(IMAGES, 'hello.cpio'), join(home, 'images/hello.cpio'));
  const run = join(home, 'run');
  if (runsInMemory) {
    mkdirSync(run, { mode: 0o700 });
    // In the mount namespace of the benchmarks alone.
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=0700', 'tmpfs', run]);
  }
  await options.prepare?.(home);
  const port = nextPort++;
  const env = { ...process.env, ...environment(home, port), ...settings };
  const main = join(ROOT, 'dist/main.js');
  const watch = watchesLoop ? ['--import', join(ROOT, '.build/bench/loop-delay.js')] : [];
  const pinned = processors === undefined ? [] : ['taskset', '-c', processors];
  const [program = '', ...args] = [...pinned, process.execPath, ...watch, main];
  const call = caller(port);
  let child: ChildProcess | null = null;
  let isRemoved = false;
  const launch = async (): Promise<void> => {
    const stdio = [
      'ignore',
      'ignore',
      'inherit',
      ...(watchesLoop ? ['ipc' as const] : []),
    ] as const;
    // In a session of its own, as a supervisor starts it: the kernel shares processors out between sessions.
    child = spawn(program, args, { env, stdio: [...stdio], detached: true });
    await untilHealthy(child, call);
  };
  const remove = () => {
    if (isRemoved) return;
    isRemoved = true;
    execFileSync(process.execPath, [main, '--teardown'], { env, stdio: 'ignore' });
    if (runsInMemory) execFileSync('umount', ['--lazy', run]);
    rmSync(home, { recursive: true, force: true });
  };
  const end = async (signal: NodeJS.Signals) => {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  };
  const giveUp = async () => {
    await end('SIGKILL');
    remove();
  };
  running.add(giveUp);
  const startedMs = performance.now();
  await launch();
  const healthy = performance.now() - startedMs;
  await call('GET', '/api/v1/vms?limit=100');
  const startMs = { healthy, listed: performance.now() - startedMs };
  return {
    port,
    home,
    get pid() {
      return child?.pid ?? 0;
    },
    startMs,
    call,
    expect: async (status, method, path, body) => {
      const answer = await call(method, path, body);
      if (answer.status === status) return answer.text;
      throw new Error(`${method} ${path} answered ${answer.status}: ${answer.text}`);
    },
    loopDelay: async () => {
      if (child === null) throw new Error('there is no daemon');
      child.send('delay');
      const [delay] = await once(child, 'message');
      return delay as LoopDelay;
    },
    pinMainThread: (processor) => {
      execFileSync('taskset', ['-pc', String(processor), String(child?.pid)], { stdio: 'ignore' });
    },
    kill: () => end('SIGKILL'),
    startAgain: launch,
    stop: async () => {
      await end('SIGTERM');
      if (!isRemoved) await options.clear?.(home);
      remove();
      running.delete(giveUp);
    },
  };
}

function environment(home: string, port: number): Record<string, string> {
  return {
    VOLANT_HOME: home,
    VOLANT_API_LISTEN: `127.0.0.1:${port}`,
    VOLANT_KERNEL_VMLINUX: join(IMAGES, 'vmlinux'),
    VOLANT_MEDIA_DIRS: IMAGES,
    VOLANT_LOG_FILE: join(home, 'volantd.log'),
    VOLANT_SUBNET: '10.88.0.0/16',
    VOLANT_HOST_IP: '10.88.0.1',
  };
}

async function untilHealthy(child: ChildProcess, call: BenchDaemon['call']): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const answer = await call('GET', '/healthz').catch(() => null);
    if (answer?.status === 200) return;
    if (child.exitCode !== null || Date.now() > deadline) throw new Error('volantd did not start');
    await pause(5);
  }
}

/** Over kept-alive connections, as a real client's. */
function caller(port: number): BenchDaemon['call'] {
  // What is idle is closed before the server does it, which would hit the next request: daemons take turns.
  const agent = new Agent({ keepAlive: true, maxSockets: 128, timeout: IDLE_MS });
  return (method, path, body) =>
    new Promise((resolve, reject) => {
      const outgoing = request({ agent, host: '127.0.0.1', port, method, path }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        );
      });
      outgoing.on('error', reject);
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
}

/** Runs `work` for 0 to count-1, so many at a time. */
export async function inParallel(
  count: number,
  width: number,
  work: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const line = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: width }, line));
}

/** Creates VMs `prefix`-0 to count-1. Returns how many a second there were. */
export async function createVms(
  daemon: BenchDaemon,
  count: number,
  width: number,
  prefix: string,
): Promise<number> {
  const startedMs = performance.now();
  await inParallel(count, width, async (index) => {
    const body = { name: `${prefix}-${index}`, plugin: 'hello' };
    await daemon.expect(201, 'POST', '/api/v1/vms', body);
  });
  return (count * 1000) / (performance.now() - startedMs);
}

/** Deletes those that createVms made. Returns how many a second there were. */
export async function deleteVms(
  daemon: BenchDaemon,
  count: number,
  width: number,
  prefix: string,
): Promise<number> {
  const startedMs = performance.now();
  await inParallel(count, width, async (index) => {
    await daemon.expect(204, 'DELETE', `/api/v1/vms/${prefix}-${index}`);
  });
  return (count * 1000) / (performance.now() - startedMs);
}
