// engine, vms: in what order work on VMs runs. Work on one VM is serial, across VMs it is parallel up to a budget, and fair
// between clients. What the work is, is not known here.

import { LIMITS } from '../../config.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import { DrainRate } from '../../lib/drain-rate.ts';
import { VolantError } from '../../lib/errors.ts';
import { FairLine, type Share } from './fair-line.ts';
import { SMALLEST_COST } from './launch-cost.ts';

export interface OperationLimits {
  /** The budget that all work shares. */
  readonly runningMax: number;
  readonly waitingMax: number;
  readonly perVmMax: number;
  /** Requests that are looked into and written down at once, before their VM's work gets in line. */
  readonly intakeMax: number;
}

/** The turn of one piece of work on a VM. */
export interface Turn {
  /** For whom it is done. */
  readonly client: string;
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

/** Work that nobody asked for. */
const OWN: Share = { client: '', cost: SMALLEST_COST, isLaunch: false };

export class Operations {
  readonly #limits: OperationLimits;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #drain = new DrainRate(LIMITS.retryAfterSecondsMax, LIMITS.launchesPerSecondGuess);
  readonly #lines = new Map<number, Line>();
  readonly #slots: FairLine;
  readonly #intake: FairLine;
  /** By client: launches that have given their place up while they wait for something. */
  readonly #away = new Map<string, number>();
  #awaySize = 0;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(limits: OperationLimits, clock: Pick<Clock, 'monotonicMs'> = systemClock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#slots = new FairLine(limits.runningMax);
    this.#intake = new FairLine(limits.intakeMax);
  }

  /** Nothing that a client asks for is begun any more. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** SHUTTING_DOWN when nothing new is begun. */
  requireOpen(): void {
    if (this.#closed) throw new VolantError('SHUTTING_DOWN');
  }

  /**
   * OVERLOADED when too many launches of this client wait already: it may have as many in line as places are left, so
   * that one client alone has half of them, and a new one always finds some. It is told to come back when its own are
   * done, at the pace of the last seconds. SHUTTING_DOWN.
   */
  requireRoom(client: string): void {
    this.requireOpen();
    const waiting = this.#waiting;
    const own =
      this.#slots.waitingOf(client) +
      this.#intake.waitingOf(client) +
      (this.#away.get(client) ?? 0);
    if (own < this.#limits.waitingMax - waiting) return;
    // Each client in line is served as often as this one until then.
    const clients = Math.max(this.#slots.clients, this.#intake.clients, this.#away.size, 1);
    const ahead = own === 0 ? waiting : Math.min(waiting, own * clients);
    const nowMs = this.#clock.monotonicMs();
    const retryAfterSeconds = this.#drain.secondsFor(ahead, nowMs);
    throw new VolantError('OVERLOADED', undefined, { retryAfterSeconds });
  }

  /**
   * Looks into a request for a launch and writes it down, in the client's turn. Only so many at a time: thousands that
   * come at once would hold the main thread up. What requireRoom throws.
   */
  async take<T>(client: string, work: () => Promise<T>): Promise<T> {
    this.requireRoom(client);
    const share: Share = { client, cost: 1, isLaunch: true };
    const entered = this.#intake.enter(share);
    this.#noteWaiting();
    await entered;
    try {
      this.requireOpen();
      return await work();
    } finally {
      this.#intake.leave(share);
    }
  }

  /** Runs work on a VM, after that before it. VM_STATE_CONFLICT when the VM's own line is full, SHUTTING_DOWN. */
  async run<T>(
    vmId: number,
    work: (turn: Turn) => Promise<T>,
    perVmMax: number = this.#limits.perVmMax,
  ): Promise<T> {
    this.requireOpen();
    if ((this.#lines.get(vmId)?.turns.size ?? 0) >= perVmMax) throw tooManyWait();
    return this.follow(vmId, work);
  }

  /** Ends what work on a VM waits for, with this reason. */
  giveUp(vmId: number, reason: Error): void {
    for (const turn of this.#lines.get(vmId)?.turns ?? []) turn.abort.abort(reason);
  }

  /** Runs what must be done whatever the load is. `weigh` is asked when the VM's own line has come to it. */
  follow<T>(
    vmId: number,
    work: (turn: Turn) => Promise<T>,
    weigh: () => Share = () => OWN,
  ): Promise<T> {
    const line = this.#lines.get(vmId) ?? { tail: Promise.resolve(), turns: new Set() };
    this.#lines.set(vmId, line);
    const held = { abort: new AbortController() };
    line.turns.add(held);
    const result = line.tail.then(() => {
      const share = weigh();
      const turn: Turn = {
        client: share.client,
        get signal() {
          return held.abort.signal;
        },
        wait: (waiting) => this.#withoutSlot(share, () => waiting(held.abort.signal)),
        renew: () => {
          if (held.abort.signal.aborted && !this.#closed) held.abort = new AbortController();
        },
      };
      return this.#withSlot(share, () => work(turn));
    });
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

  get #waiting(): number {
    return this.#slots.waiting + this.#intake.waiting + this.#awaySize;
  }

  #leave(vmId: number, line: Line, held: { abort: AbortController }): void {
    line.turns.delete(held);
    if (line.turns.size > 0) return;
    this.#lines.delete(vmId);
    if (this.#lines.size > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #withSlot<T>(share: Share, work: () => Promise<T>): Promise<T> {
    const entered = this.#slots.enter(share);
    this.#noteWaiting();
    await entered;
    try {
      return await work();
    } finally {
      this.#slots.leave(share);
      if (share.isLaunch) this.#drain.ended(this.#clock.monotonicMs());
      this.#noteWaiting();
    }
  }

  async #withoutSlot<T>(share: Share, work: () => Promise<T>): Promise<T> {
    this.#slots.leave(share);
    this.#countAway(share, 1);
    try {
      return await work();
    } finally {
      this.#countAway(share, -1);
      await this.#slots.resume(share);
    }
  }

  #countAway({ client, isLaunch }: Share, change: 1 | -1): void {
    if (!isLaunch) return;
    const count = (this.#away.get(client) ?? 0) + change;
    if (count === 0) this.#away.delete(client);
    else this.#away.set(client, count);
    this.#awaySize += change;
  }

  /** The pace is that of a line in which something waits. */
  #noteWaiting(): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#waiting > 0) this.#drain.full(nowMs);
    else this.#drain.empty(nowMs);
  }
}

/** More requests wait for one VM than may. */
export function tooManyWait(): VolantError {
  const why = 'Too many operations wait for this VM';
  return new VolantError('VM_STATE_CONFLICT', why, { retryAfterSeconds: 2 });
}
