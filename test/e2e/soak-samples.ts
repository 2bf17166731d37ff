// test helpers: what a daemon holds while it is at rest, seen from outside and through Node's inspector, which is switched
// on by SIGUSR1: it finds timers that hold nothing up, and counts memory after a collection.

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import WebSocket from 'ws';
import type { Daemon } from './daemon.ts';
import type { Bound } from './growth.ts';

const INSPECTOR = 'http://127.0.0.1:9229/json/list';
const PATIENCE_MS = 20_000;
const KIB = 1024;
const MIB = 1024 ** 2;

/** What is measured at each rest, and what of its growth is noise. */
export const BOUNDS = {
  anonymousBytes: { noise: 16 * MIB },
  heapBytes: { noise: MIB },
  descriptors: { noise: 3 },
  sockets: { noise: 3 },
  threads: { noise: 2 },
  timers: { noise: 5 },
  links: { noise: 0 },
  zombies: { noise: 0 },
  runDirectories: { noise: 0 },
  diskDirectories: { noise: 0 },
  homeFiles: { noise: 0 },
} as const satisfies Record<string, Bound>;

export type Measure = keyof typeof BOUNDS;

export interface Sample extends Readonly<Record<Measure, number>> {
  readonly atSeconds: number;
  /** Of the records; they grow with the events that are kept. */
  readonly storeBytes: number;
  /** Pages of files in memory, most of them of the records. The kernel takes them back when it needs memory. */
  readonly filePagesBytes: number;
  readonly lastEvent: number;
}

/** Timers that are due some day, whoever waits for them. */
const COUNT_TIMERS =
  'function () { let count = 0; for (const timer of this) if (!timer._destroyed) count += 1; return count; }';

interface Reply {
  readonly id: number;
  readonly error?: { readonly message: string };
  readonly result?: unknown;
}

interface Remote {
  readonly result: { readonly objectId?: string; readonly value?: unknown };
}

/** The inside of a daemon's process. */
export class Inside {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #last = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data) => {
      const reply: Reply = JSON.parse(String(data));
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
    });
  }

  /** The daemon must be alone in its network namespace: its inspector has a port of its own there. */
  static async of(pid: number): Promise<Inside> {
    process.kill(pid, 'SIGUSR1');
    const untilMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const url = await inspectorUrl();
      if (url !== undefined) {
        const socket = new WebSocket(url, { maxPayload: 256 * MIB });
        await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
        return new Inside(socket);
      }
      if (performance.now() > untilMs) throw new Error('the inspector does not answer');
      await pause(50);
    }
  }

  close(): void {
    this.#socket.terminate();
  }

  async heapBytes(): Promise<number> {
    await this.#call('HeapProfiler.collectGarbage');
    const { result } = await this.#call<Remote>('Runtime.evaluate', {
      expression: 'process.memoryUsage().heapUsed',
    });
    return Number(result.value);
  }

  async timers(): Promise<number> {
    const group = { objectGroup: 'timers' };
    const kind = await this.#call<Remote>('Runtime.evaluate', {
      ...group,
      expression:
        'const timer = setTimeout(() => undefined, 0); clearTimeout(timer); Object.getPrototypeOf(timer)',
      replMode: true,
    });
    const { objects } = await this.#call<{ objects: Remote['result'] }>('Runtime.queryObjects', {
      ...group,
      prototypeObjectId: kind.result.objectId,
    });
    const { result } = await this.#call<Remote>('Runtime.callFunctionOn', {
      objectId: objects.objectId,
      functionDeclaration: COUNT_TIMERS,
      returnByValue: true,
    });
    await this.#call('Runtime.releaseObjectGroup', group);
    return Number(result.value);
  }

  #call<T>(method: string, params: object = {}): Promise<T> {
    this.#last += 1;
    const id = this.#last;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method} has no reply`)), PATIENCE_MS);
      this.#waiting.set(id, ({ error, result }) => {
        clearTimeout(timer);
        if (error === undefined) resolve(result as T);
        else reject(new Error(`${method}: ${error.message}`));
      });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }
}

async function inspectorUrl(): Promise<string | undefined> {
  try {
    const [target] = (await (await fetch(INSPECTOR)).json()) as { webSocketDebuggerUrl: string }[];
    return target?.webSocketDebuggerUrl;
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** Of a daemon that has come to rest. */
export async function sampleOf(
  daemon: Daemon,
  inside: Inside,
  { startMs, lastEvent }: { readonly startMs: number; readonly lastEvent: number },
): Promise<Sample> {
  // Objects of what has just ended are let go of first.
  const heapBytes = await inside.heapBytes();
  const timers = await inside.timers();
  const pid = daemon.pid();
  const targets = descriptorsOf(pid);
  const disks = namesIn(join(daemon.home, 'disks'));
  return {
    atSeconds: Math.round((performance.now() - startMs) / 1000),
    heapBytes,
    timers,
    anonymousBytes: statusOf(pid, 'RssAnon') * KIB,
    filePagesBytes: statusOf(pid, 'RssFile') * KIB,
    threads: statusOf(pid, 'Threads'),
    descriptors: targets.length,
    sockets: targets.filter((target) => target.startsWith('socket:')).length,
    zombies: zombiesOf(pid),
    links: daemon.taps().length,
    runDirectories: daemon.runDirectories().length,
    diskDirectories: disks.length,
    homeFiles: namesIn(daemon.home).length + namesIn(join(daemon.home, 'cache')).length,
    storeBytes: statSync(join(daemon.home, 'state/volant.lmdb')).size,
    lastEvent,
  };
}

function descriptorsOf(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch (error) {
      // It was closed meanwhile.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  });
}

/** A number of /proc/PID/status; of memory in KiB. */
export function statusOf(pid: number, field: string): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)?.[1]);
}

/** Children that have ended and were not waited for. */
function zombiesOf(parent: number): number {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const [state, owner] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return state === 'Z' && Number(owner) === parent;
    } catch (error) {
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
      throw error;
    }
  }).length;
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
