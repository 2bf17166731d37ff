// engine: in what order operations run. Operations on one VM are serial, across VMs they are parallel
// up to a bound. What an operation does is not known here.

import { VolantError } from '../lib/errors.ts';

export interface OperationLimits {
  readonly runningMax: number;
  readonly waitingMax: number;
  readonly perVmMax: number;
}

interface Line {
  /** Ends when the last operation of this VM has ended. Never rejects. */
  tail: Promise<unknown>;
  length: number;
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
    operation: () => Promise<T>,
    perVmMax: number = this.#limits.perVmMax,
  ): Promise<T> {
    if (this.#closed) return Promise.reject(new VolantError('SHUTTING_DOWN'));
    if (this.#waiting.length >= this.#limits.waitingMax) {
      return Promise.reject(new VolantError('OVERLOADED', undefined, { retryAfterSeconds: 2 }));
    }
    if ((this.#lines.get(vmId)?.length ?? 0) >= perVmMax) {
      const why = 'Too many operations wait for this VM';
      return Promise.reject(new VolantError('VM_STATE_CONFLICT', why, { retryAfterSeconds: 2 }));
    }
    return this.follow(vmId, operation);
  }

  /** Runs what must be done whatever the load is, such as taking note of an exit. */
  follow<T>(vmId: number, operation: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(vmId) ?? { tail: Promise.resolve(), length: 0 };
    this.#lines.set(vmId, line);
    line.length += 1;
    const result = line.tail.then(() => this.#withSlot(operation));
    line.tail = result.then(
      () => this.#leave(vmId, line),
      () => this.#leave(vmId, line),
    );
    return result;
  }

  /** Lets what was begun end and begins nothing that a client asks for. */
  close(): Promise<void> {
    this.#closed = true;
    if (this.#lines.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #leave(vmId: number, line: Line): void {
    line.length -= 1;
    if (line.length > 0) return;
    this.#lines.delete(vmId);
    if (this.#lines.size > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #withSlot<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#limits.runningMax) {
      // The slot is handed over by the operation that ends, so the count stays as it is.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      return await operation();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
