// test helpers: a real volantd on a home of its own, in the network namespace that the test file runs
// in. Whatever it leaves in the kernel is removed by its own teardown, and a test can look before.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Vm } from '../../src/schema/vm.ts';
import { IMAGES, PROJECT_ROOT } from '../helpers/capabilities.ts';

/** It ends what hangs. In the lab every instruction is emulated. */
const START_TIMEOUT_MS = process.env['VOLANT_LAB'] === '1' ? 180_000 : 60_000;
const GUEST_TIMEOUT_MS = 60_000;
/** A command of a guest may take seconds where processors are emulated and busy. */
const ATTEMPT_TIMEOUT_MS = 15_000;
/** Of a log the newest part is kept: a daemon may run for hours. */
const LOG_CHARACTERS_MAX = 64 * 1024 ** 2;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what an answer holds is what the test is about
  readonly body: any;
}

export interface Daemon {
  readonly home: string;
  readonly url: string;
  pid(): number;
  /** What it has logged since it was started last. */
  log(): string;
  call(method: string, path: string, body?: unknown): Promise<Answer>;
  createVm(name: string, more?: object): Promise<Vm>;
  getVm(name: string): Promise<Vm>;
  /** Waits until a VM has one of these statuses. */
  waitFor(name: string, ...statuses: string[]): Promise<Vm>;
  /** kill -9, then a new daemon on the same home. */
  killAndRestart(): Promise<void>;
  /** SIGTERM; resolves with the exit status. */
  terminate(): Promise<number | null>;
  /** With these settings from now on, beside those that it had; the arguments count once. */
  start(more?: Record<string, string>, args?: readonly string[]): Promise<void>;
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Links of this daemon's guests. */
  taps(): readonly string[];
  runDirectories(): readonly string[];
}

export interface DaemonOptions {
  /** Its end before it serves is no failure of the test. */
  readonly mayDie?: boolean;
  /** Its limit of open files. */
  readonly openFiles?: number;
  /** A file that it sees in the place of the kernel's boot id, so that the host can be restarted for it alone. */
  readonly bootIdFile?: string;
}

/** Beside the host ports that tests give to guests, and below those that the kernel gives to clients. */
let nextPort = 27_000 + (process.pid % 500) * 10;

/**
 * Starts a daemon; at the end of the test it is torn down and its home is removed. One that may die need not come up.
 */
export async function startDaemon(
  t: TestContext,
  settings: Record<string, string> = {},
  { mayDie = false, openFiles, bootIdFile }: DaemonOptions = {},
): Promise<Daemon> {
  const home = mkdtempSync(join(tmpdir(), 'volant-e2e-'));
  mkdirSync(join(home, 'images'), { recursive: true });
  for (const name of ['hello.cpio', 'boot.cpio']) {
    symlinkSync(join(IMAGES, name), join(home, 'images', name));
  }
  const port = nextPort++;
  const url = `http://127.0.0.1:${port}`;
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('VOLANT_'));
  const env: NodeJS.ProcessEnv = {
    ...Object.fromEntries(own),
    VOLANT_HOME: home,
    VOLANT_API_LISTEN: `127.0.0.1:${port}`,
    VOLANT_KERNEL_VMLINUX: join(IMAGES, 'vmlinux'),
    VOLANT_MEDIA_DIRS: IMAGES,
    ...settings,
  };
  let child: ChildProcess | undefined;
  let log = '';

  const start = async (more: Record<string, string> = {}, args: readonly string[] = []) => {
    Object.assign(env, more);
    log = '';
    const limit = openFiles === undefined ? '' : `ulimit -n ${openFiles}; `;
    const id = '/proc/sys/kernel/random/boot_id';
    const mount = bootIdFile === undefined ? '' : `mount --bind ${bootIdFile} ${id} && `;
    const command = ['sh', '-c', `${limit}${mount}exec "$0" "$@"`, process.execPath];
    // Of these each becomes the next one: the process that is known here is the daemon in the end.
    const [first = 'sh', ...others] = [
      ...(bootIdFile === undefined ? [] : ['unshare', '--mount']),
      ...command,
      join(PROJECT_ROOT, 'dist/main.js'),
      ...args,
    ];
    const started = spawn(first, others, { env });
    child = started;
    for (const stream of [started.stdout, started.stderr]) {
      stream.on('data', (chunk) => {
        log += chunk;
        if (log.length > LOG_CHARACTERS_MAX) log = log.slice(-LOG_CHARACTERS_MAX / 2);
      });
    }
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!log.includes('recovery done')) {
      const isDead = started.exitCode !== null || started.signalCode !== null;
      if (isDead && mayDie) return;
      if (isDead || Date.now() > deadline) {
        throw new Error(`volantd did not start:\n${log}`);
      }
      await pause(10);
    }
  };
  const kill = async (signal: NodeJS.Signals) => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  };
  t.after(async () => {
    await kill('SIGKILL');
    const main = join(PROJECT_ROOT, 'dist/main.js');
    const sound = { ...env, VOLANT_FAIL_POINT: '' };
    execFileSync(process.execPath, [main, '--teardown'], { env: sound });
    // A teardown makes the directories of the home that it was told.
    for (const path of [home, settings['VOLANT_HOME'] ?? home]) {
      rmSync(path, { recursive: true, force: true });
    }
  });
  const call = async (method: string, path: string, body?: unknown): Promise<Answer> => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(url + path, {
      method,
      ...(body === undefined ? {} : { body: text }),
      headers: {
        // A test that runs a program synchronously does not see that its idle connections have been closed meanwhile.
        Connection: 'close',
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      },
    });
    const answer = await response.text();
    const isJson = response.headers.get('content-type')?.startsWith('application/json');
    return {
      status: response.status,
      headers: response.headers,
      text: answer,
      body: isJson && answer !== '' ? JSON.parse(answer) : undefined,
    };
  };
  const getVm = async (name: string): Promise<Vm> =>
    (await call('GET', `/api/v1/vms/${name}`)).body;
  await start();
  return {
    home,
    url,
    pid: () => child?.pid ?? 0,
    log: () => log,
    call,
    getVm,
    createVm: async (name, more = {}) => {
      const answer = await call('POST', '/api/v1/vms', { name, plugin: 'hello', ...more });
      if (answer.status !== 201)
        throw new Error(`create answered ${answer.status}: ${answer.text}`);
      return answer.body;
    },
    waitFor: async (name, ...statuses) => {
      const deadline = Date.now() + GUEST_TIMEOUT_MS;
      for (;;) {
        const vm = await getVm(name);
        if (statuses.includes(vm.status)) return vm;
        if (Date.now() > deadline) throw new Error(`${name} is ${vm.status}, not ${statuses}`);
        await pause(20);
      }
    },
    killAndRestart: async () => {
      await kill('SIGKILL');
      await start();
    },
    terminate: async () => {
      await kill('SIGTERM');
      return child?.exitCode ?? null;
    },
    start,
    kill,
    taps: () =>
      execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' })
        .split('\n')
        .flatMap((line) => /^\d+: (vt[0-9a-f]{4}-[^:@]+)/.exec(line)?.[1] ?? []),
    runDirectories: () => readdirSync(join(home, 'run')).filter((name) => /^\d+$/.test(name)),
  };
}

/** Asks a guest repeatedly until it answers 200. What is asked may be done more than once. */
export async function askGuest(address: string, path: string): Promise<string> {
  const deadline = Date.now() + GUEST_TIMEOUT_MS;
  let last: unknown;
  while (Date.now() < deadline) {
    try {
      const signal = AbortSignal.timeout(ATTEMPT_TIMEOUT_MS);
      const response = await fetch(`http://${address}:8080${path}`, { signal });
      const text = await response.text();
      if (response.ok) return text;
      last = `${response.status} ${text}`;
    } catch (error) {
      last = error;
    }
    await pause(50);
  }
  throw new Error(`guest ${address} does not answer ${path}: ${last}`);
}

/** Tells a guest once to end itself, which it may do before its answer has left. */
export async function tellGuest(address: string, path: string): Promise<void> {
  try {
    const signal = AbortSignal.timeout(ATTEMPT_TIMEOUT_MS);
    await (await fetch(`http://${address}:8080${path}`, { signal })).text();
  } catch (error) {
    const isGone = error instanceof TypeError || (error as Error).name === 'TimeoutError';
    if (!isGone) throw error;
  }
}

/** Sends a signal to the hypervisor of a VM, which must have one. */
export function signalVm({ name, pid }: Vm, signal: NodeJS.Signals): void {
  // Zero would be the processes of this test.
  if (!pid) throw new Error(`${name} has no process`);
  process.kill(pid, signal);
}

/** The data of the first event of a type, as JSON. Waits for it if there is none yet. */
export async function firstEvent(daemon: Pick<Daemon, 'url'>, type: string): Promise<string> {
  const response = await fetch(`${daemon.url}/api/v1/events?after=0&type=${type}`, {
    signal: AbortSignal.timeout(30_000),
  });
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString();
    const data = /^data: (.*)\n/m.exec(text)?.[1];
    if (data !== undefined) return data;
  }
  throw new Error(`no event ${type}: ${text}`);
}

/** true while a process of this pid runs; one that has ended and waits for its parent does not. */
export function isAlive(pid: number | undefined): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}
