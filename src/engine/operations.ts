// engine: in what order operations run. Operations on one VM are serial, across VMs they are parallel
// up to a bound. What an operation does is not known here.

import { VolantError } from '../lib/errors.ts';

export interface OperationLimits {
  readonly runningMax: number;
  readonly waitingMax: number;
  readonly perVmMax: number;
}

/** The turn of one operation of a VM. */
export interface Turn {
  /**
   * Waits for something that may take hours and needs nothing of this daemon's: meanwhile other VMs have the
   * operation's place, and an operation that supersedes this one aborts the signal.
   */
  wait<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T>;
}

interface Line {
  /** Ends when the last operation of this VM has ended. Never rejects. */
  tail: Promise<unknown>;
  /** One for each operation that has not ended: superseded by aborting it. */
  readonly turns: Set<AbortController>;
}

export class Operations {
  readonly #limits: OperationLimits;
  readonly #lines = new Map<number, Line>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(limits: OperationLimits) {
    this.#limits = limits;
  }

  /**
   * Runs an operation that a client asked for, after those before it on the same VM. OVERLOADED and
   * VM_STATE_CONFLICT tell that a line is full, SHUTTING_DOWN that nothing new is begun.
   */
  run<T>(
    vmId: number,
    operation: (turn: Turn) => Promise<T>,
    perVmMax: number = this.#limits.perVmMax,
  ): Promise<T> {
    if (this.#closed) return Promise.reject(new VolantError('SHUTTING_DOWN'));
    if (this.#waiting.length >= this.#limits.waitingMax) {
      return Promise.reject(new VolantError('OVERLOADED', undefined, { retryAfterSeconds: 2 }));
    }
    if ((this.#lines.get(vmId)?.turns.size ?? 0) >= perVmMax) {
      const why = 'Too many operations wait for this VM';
      return Promise.reject(new VolantError('VM_STATE_CONFLICT', why, { retryAfterSeconds: 2 }));
    }
    return this.follow(vmId, operation);
  }

  /**
   * As `run`, for an operation that makes those before it on the VM needless: what they wait for ends with
   * this reason. What they do otherwise goes on to its end.
   */
  supersede<T>(vmId: number, reason: Error, operation: (turn: Turn) => Promise<T>): Promise<T> {
    if (!this.#closed) this.giveUp(vmId, reason);
    return this.run(vmId, operation);
  }

  /** Ends what operations on a VM wait for, with this reason. */
  giveUp(vmId: number, reason: Error): void {
    for (const turn of this.#lines.get(vmId)?.turns ?? []) turn.abort(reason);
  }

  /** Runs what must be done whatever the load is, such as taking note of an exit. */
  follow<T>(vmId: number, operation: (turn: Turn) => Promise<T>): Promise<T> {
    const line = this.#lines.get(vmId) ?? { tail: Promise.resolve(), turns: new Set() };
    this.#lines.set(vmId, line);
    const turn = new AbortController();
    line.turns.add(turn);
    const wait: Turn['wait'] = (work) => this.#withoutSlot(() => work(turn.signal));
    const result = line.tail.then(() => this.#withSlot(() => operation({ wait })));
    const leave = () => this.#leave(vmId, line, turn);
    line.tail = result.then(leave, leave);
    return result;
  }

  /** Lets what was begun end, without long waits, and begins nothing that a client asks for. */
  close(): Promise<void> {
    this.#closed = true;
    const reason = new VolantError('SHUTTING_DOWN');
    for (const { turns } of this.#lines.values()) for (const turn of turns) turn.abort(reason);
    if (this.#lines.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #leave(vmId: number, line: Line, turn: AbortController): void {
    line.turns.delete(turn);
    if (line.turns.size > 0) return;
    this.#lines.delete(vmId);
    if (this.#lines.size > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #withSlot<T>(operation: () => Promise<T>): Promise<T> {
    await this.#takeSlot((resolve) => this.#waiting.push(resolve));
    try {
      return await operation();
    } finally {
      this.#giveSlot();
    }
  }

  async #withoutSlot<T>(work: () => Promise<T>): Promise<T> {
    this.#giveSlot();
    try {
      return await work();
    } finally {
      // What was begun goes before what was not.
      await this.#takeSlot((resolve) => this.#waiting.unshift(resolve));
    }
  }

  async #takeSlot(enqueue: (resolve: () => void) => void): Promise<void> {
    if (this.#running >= this.#limits.runningMax) {
      // The slot is handed over by the operation that ends, so the count stays as it is.
      await new Promise<void>(enqueue);
    } else {
      this.#running += 1;
    }
  }

  #giveSlot(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running -= 1;
    else next();
  }
}
