// load, run: the generator processes of one round: starts them together, passes on what they report, and ends every one of them.

import { type ChildProcess, fork } from 'node:child_process';
import { programFile } from '../../lib/files/own-files.ts';
import { monotonicMs } from '../generator/clock.ts';
import type { FromGenerator, GeneratorOrder, ToGenerator } from '../generator/protocol.ts';
import { LOAD_LIMITS } from '../load-limits.ts';
import type { GeneratorProcessReport } from '../report/run-report.ts';

const PROGRAM = programFile('load/generator/generator-process.js');
/** Of what a process that failed has written. */
const STDERR_CHARACTERS_MAX = 2_000;

type Windows = Extract<FromGenerator, { kind: 'windows' }>;

export interface GeneratorsEnd {
  readonly health: readonly GeneratorProcessReport[];
  readonly rawLinesLost: number;
  /** What went wrong with a process, as sentences. */
  readonly problems: readonly string[];
}

export class Generators {
  readonly #members: readonly Member[];
  #giveUp: NodeJS.Timeout | undefined;
  #giveUpAtMs = Number.POSITIVE_INFINITY;

  /** Resolves when all processes wait for begin(). Rejects, and leaves none, if one of them does not come up. */
  static async start(
    orders: readonly GeneratorOrder[],
    onWindows: (processIndex: number, windows: Windows) => void,
  ): Promise<Generators> {
    const members = orders.map((order) => new Member(order, onWindows));
    try {
      await Promise.all(members.map((member) => member.prepared));
    } catch (error) {
      await Promise.all(members.map((member) => member.kill()));
      throw error;
    }
    return new Generators(members);
  }

  private constructor(members: readonly Member[]) {
    this.#members = members;
  }

  /** At this moment of the monotonic clock, which is so long after the start of the run. */
  begin(atMs: number, sinceRunMs: number): void {
    for (const member of this.#members) member.send({ kind: 'begin', atMs, sinceRunMs });
  }

  /** They start nothing more, and cancel after this time what still runs. */
  end(drainMs: number): void {
    for (const member of this.#members) member.send({ kind: 'end', drainMs });
  }

  /** Those that have not ended after this time are killed. The earliest of several moments counts. */
  giveUpAfter(timeoutMs: number): void {
    const atMs = monotonicMs() + timeoutMs;
    if (atMs >= this.#giveUpAtMs) return;
    this.#giveUpAtMs = atMs;
    clearTimeout(this.#giveUp);
    this.#giveUp = setTimeout(() => {
      for (const member of this.#members) member.giveUp();
    }, timeoutMs);
  }

  /** Resolves when all have ended; after this time they are killed. */
  async finish(timeoutMs: number): Promise<GeneratorsEnd> {
    this.giveUpAfter(timeoutMs);
    try {
      await Promise.all(this.#members.map((member) => member.ended));
    } finally {
      clearTimeout(this.#giveUp);
    }
    return {
      health: this.#members.flatMap((member) => member.health ?? []),
      rawLinesLost: this.#members.reduce((sum, member) => sum + member.rawLinesLost, 0),
      problems: this.#members.flatMap((member) => member.problem() ?? []),
    };
  }

  /** Ends at once. */
  async kill(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.kill()));
  }
}

class Member {
  readonly #index: number;
  readonly #child: ChildProcess;
  #stderr = '';
  #tookTooLong = false;
  #exit: string | undefined;
  readonly prepared: Promise<void>;
  readonly ended: Promise<void>;
  health: GeneratorProcessReport | undefined;
  rawLinesLost = 0;

  constructor(order: GeneratorOrder, onWindows: (processIndex: number, windows: Windows) => void) {
    this.#index = order.index;
    // The flags of this process, such as those of an inspector, are not for it.
    const child = fork(PROGRAM, { execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.#child = child;
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-STDERR_CHARACTERS_MAX);
    });
    this.ended = this.#end();
    this.prepared = this.#preparation();
    child.on('message', (message: FromGenerator) => {
      if (message.kind === 'windows') onWindows(order.index, message);
      if (message.kind !== 'finished') return;
      this.health = message.health;
      this.rawLinesLost = message.rawLinesLost;
    });
    this.send({ kind: 'prepare', order });
  }

  send(message: ToGenerator): void {
    // A process that has ended is a problem of the run already.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  giveUp(): void {
    this.#tookTooLong = true;
    this.#child.kill('SIGKILL');
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  /** undefined: it did its work. */
  problem(): string | undefined {
    const name = `Generator process ${this.#index}`;
    if (this.#tookTooLong) return `${name} did not end in time and was killed`;
    if (this.health !== undefined) return undefined;
    const last = this.#stderr.trim().split('\n')[0] ?? '';
    return `${name} ended before its work was done (${this.#exit})${last === '' ? '' : `: ${last}`}`;
  }

  async #preparation(): Promise<void> {
    const ready = new Promise<'ready'>((resolve) => {
      this.#child.on('message', ({ kind }: FromGenerator) => {
        if (kind === 'prepared') resolve('ready');
      });
    });
    const ended = this.ended.then(() => 'ended' as const);
    const timer = setTimeout(() => this.giveUp(), LOAD_LIMITS.processStartMs);
    try {
      if ((await Promise.race([ready, ended])) === 'ended') throw new Error(this.problem());
    } finally {
      clearTimeout(timer);
    }
  }

  /** Its messages may come after its exit, and both are needed. */
  async #end(): Promise<void> {
    const child = this.#child;
    const gone = new Promise<void>((resolve) => {
      child.once('exit', (status, signal) => {
        this.#exit = signal ?? `status ${status}`;
        resolve();
      });
      child.once('error', (error) => {
        this.#exit = error.message;
        if (child.pid === undefined) resolve();
      });
    });
    const disconnected = new Promise<void>((resolve) => {
      if (child.connected) child.once('disconnect', () => resolve());
      else resolve();
    });
    await Promise.all([gone, disconnected]);
  }
}
