// engine, vms: in what order work on VMs runs. Work on one VM is serial, across VMs it is parallel up to a bound. What
// the work is, is not known here.

import { LIMITS } from '../../config.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import { DrainRate } from '../../lib/drain-rate.ts';
import { VolantError } from '../../lib/errors.ts';

export interface OperationLimits {
  readonly runningMax: number;
  readonly waitingMax: number;
  readonly perVmMax: number;
}

/** The turn of one piece of work on a VM. */
export interface Turn {
  /**
   * Waits for something that may take hours and needs nothing of this daemon's: meanwhile other VMs have the
   * place of this one, and whoever gives the work up aborts the signal.
   */
  wait<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Aborted when the work is given up: for a wait that keeps its place. Ask for it after each `renew`. */
  readonly signal: AbortSignal;
  /** Begins another piece of work in the same turn: what was given up before does not concern it. */
  renew(): void;
}

interface Line {
  /** Ends when the last work on this VM has ended. Never rejects. */
  tail: Promise<unknown>;
  /** One for each piece of work that has not ended: given up by aborting it. */
  readonly turns: Set<{ abort: AbortController }>;
}

export class Operations {
  readonly #limits: OperationLimits;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #drain = new DrainRate(LIMITS.retryAfterSecondsMax);
  readonly #lines = new Map<number, Line>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(limits: OperationLimits, clock: Pick<Clock, 'monotonicMs'> = systemClock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Nothing that a client asks for is begun any more. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /**
   * OVERLOADED when too much waits already, SHUTTING_DOWN when nothing new is begun. Whoever is sent away is told to come
   * back when what waits now is done, at the pace of the last seconds.
   */
  requireRoom(): void {
    if (this.#closed) throw new VolantError('SHUTTING_DOWN');
    const waiting = this.#waiting.length;
    if (waiting < this.#limits.waitingMax) return;
    const retryAfterSeconds = this.#drain.secondsFor(waiting, this.#clock.monotonicMs());
    throw new VolantError('OVERLOADED', undefined, { retryAfterSeconds });
  }

  /**
   * Runs work that a client asked for, after that before it on the same VM. What requireRoom throws, and
   * VM_STATE_CONFLICT when the VM's own line is full.
   */
  async run<T>(
    vmId: number,
    work: (turn: Turn) => Promise<T>,
    perVmMax: number = this.#limits.perVmMax,
  ): Promise<T> {
    this.requireRoom();
    if ((this.#lines.get(vmId)?.turns.size ?? 0) >= perVmMax) throw tooManyWait();
    return this.follow(vmId, work);
  }

  /** Ends what work on a VM waits for, with this reason. */
  giveUp(vmId: number, reason: Error): void {
    for (const turn of this.#lines.get(vmId)?.turns ?? []) turn.abort.abort(reason);
  }

  /** Runs what must be done whatever the load is. */
  follow<T>(vmId: number, work: (turn: Turn) => Promise<T>): Promise<T> {
    const line = this.#lines.get(vmId) ?? { tail: Promise.resolve(), turns: new Set() };
    this.#lines.set(vmId, line);
    const held = { abort: new AbortController() };
    line.turns.add(held);
    const turn: Turn = {
      get signal() {
        return held.abort.signal;
      },
      wait: (waiting) => this.#withoutSlot(() => waiting(held.abort.signal)),
      renew: () => {
        if (held.abort.signal.aborted && !this.#closed) held.abort = new AbortController();
      },
    };
    const result = line.tail.then(() => this.#withSlot(() => work(turn)));
    const leave = () => this.#leave(vmId, line, held);
    line.tail = result.then(leave, leave);
    return result;
  }

  /** Lets what was begun end, without long waits, and begins nothing that a client asks for. */
  close(): Promise<void> {
    this.#closed = true;
    const reason = new VolantError('SHUTTING_DOWN');
    for (const vmId of this.#lines.keys()) this.giveUp(vmId, reason);
    if (this.#lines.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #leave(vmId: number, line: Line, held: { abort: AbortController }): void {
    line.turns.delete(held);
    if (line.turns.size > 0) return;
    this.#lines.delete(vmId);
    if (this.#lines.size > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #withSlot<T>(work: () => Promise<T>): Promise<T> {
    await this.#takeSlot((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      this.#drain.ended(this.#clock.monotonicMs());
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
      // The slot is handed over by the work that ends, so the count stays as it is.
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

/** More requests wait for one VM than may. */
export function tooManyWait(): VolantError {
  const why = 'Too many operations wait for this VM';
  return new VolantError('VM_STATE_CONFLICT', why, { retryAfterSeconds: 2 });
}
