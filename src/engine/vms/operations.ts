// engine, vms: schedules work on VMs. Work on one VM is sequential. Across VMs it is parallel up to a budget, and fair
// between clients. What the work does is not known here.

import { LIMITS } from '../../config/limits.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import { DrainRate } from '../../lib/queues/drain-rate.ts';
import type { Turn } from '../../lib/queues/turn.ts';
import type { Queue } from '../../schema/stats.ts';
import { type Share, SMALLEST_COST, WorkQueue } from './work-queue.ts';

export interface OperationLimits {
  /** Units of the budget that all work shares. */
  readonly runningMax: number;
  readonly waitingMax: number;
  readonly perVmMax: number;
  /** Requests that are checked and stored at the same time, before the work on their VMs is queued. */
  readonly intakeMax: number;
}

interface VmQueue {
  /** Settles when the last queued work on this VM has ended. Never rejects. */
  tail: Promise<unknown>;
  /** One entry for each piece of work that has not ended. Aborting an entry gives that work up. */
  readonly turns: Set<{ abort: AbortController }>;
}

/** The share of work that no client asked for. */
const OWN: Share = { client: '', cost: SMALLEST_COST, isLaunch: false };

export class Operations {
  readonly #limits: OperationLimits;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #drain = new DrainRate(LIMITS.retryAfterSecondsMax, LIMITS.launchesPerSecondGuess);
  readonly #queues = new Map<number, VmQueue>();
  readonly #slots: WorkQueue;
  readonly #intake: WorkQueue;
  /** By client: launches that gave their share of the budget back while they wait for something. */
  readonly #away = new Map<string, number>();
  #awaySize = 0;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(limits: OperationLimits, clock: Pick<Clock, 'monotonicMs'> = systemClock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#slots = new WorkQueue(limits.runningMax);
    this.#intake = new WorkQueue(limits.intakeMax);
  }

  /** No work for clients is begun any more. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Throws SHUTTING_DOWN after `close`. */
  requireOpen(): void {
    if (this.#closed) throw new VolantError('SHUTTING_DOWN');
  }

  /**
   * Throws OVERLOADED if too many launches of this client wait. A client may have as many in the queue as the queue has
   * free places, so one client alone gets half of it, and a new client finds a place unless many fill the queue.
   * Retry-After is the time until the client's own launches are done, at the recent rate. Throws SHUTTING_DOWN after
   * `close`.
   */
  requireQueueSpace(client: string): void {
    this.requireOpen();
    const waiting = this.#waiting;
    const own =
      this.#slots.waitingOf(client) +
      this.#intake.waitingOf(client) +
      (this.#away.get(client) ?? 0);
    if (own < this.#limits.waitingMax - waiting) return;
    // Until then, each other client in the queue is served as often as this one.
    const clients = Math.max(this.#slots.clients, this.#intake.clients, this.#away.size, 1);
    const ahead = own === 0 ? waiting : Math.min(waiting, own * clients);
    const nowMs = this.#clock.monotonicMs();
    const retryAfterSeconds = this.#drain.secondsFor(ahead, nowMs);
    throw new VolantError('OVERLOADED', undefined, { retryAfterSeconds });
  }

  /**
   * Checks and stores a request for a launch in the client's turn. The number of concurrent requests is bounded,
   * because thousands at once would stall the main thread. Throws what `requireQueueSpace` throws.
   */
  async runIntake<T>(client: string, work: () => Promise<T>): Promise<T> {
    this.requireQueueSpace(client);
    const share: Share = { client, cost: 1, isLaunch: true };
    const entered = this.#intake.enter(share);
    this.#noteWaiting();
    await entered;
    try {
      this.requireOpen();
      return await work();
    } finally {
      this.#intake.leave(share);
      this.#noteWaiting();
    }
  }

  /**
   * Runs work on a VM after all earlier work on it. Throws VM_STATE_CONFLICT if the VM's own queue is full, or
   * SHUTTING_DOWN.
   */
  async run<T>(
    vmId: number,
    work: (turn: Turn) => Promise<T>,
    perVmMax: number = this.#limits.perVmMax,
  ): Promise<T> {
    this.requireOpen();
    if ((this.#queues.get(vmId)?.turns.size ?? 0) >= perVmMax) throw tooManyWait();
    return this.follow(vmId, work);
  }

  /** Aborts all waits of work on a VM, with this reason. */
  giveUp(vmId: number, reason: Error): void {
    for (const turn of this.#queues.get(vmId)?.turns ?? []) turn.abort.abort(reason);
  }

  /** Runs work that must be done whatever the load is. `weigh` is called when all earlier work on the VM has ended. */
  follow<T>(
    vmId: number,
    work: (turn: Turn) => Promise<T>,
    weigh: () => Share = () => OWN,
  ): Promise<T> {
    const queue = this.#queues.get(vmId) ?? { tail: Promise.resolve(), turns: new Set() };
    this.#queues.set(vmId, queue);
    const held = { abort: new AbortController() };
    queue.turns.add(held);
    const result = queue.tail.then(() => {
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
    const leave = () => this.#leave(vmId, queue, held);
    queue.tail = result.then(leave, leave);
    return result;
  }

  /** Lets running work end, aborts its waits, and begins no more work for clients. */
  close(): Promise<void> {
    this.#closed = true;
    const reason = new VolantError('SHUTTING_DOWN');
    for (const vmId of this.#queues.keys()) this.giveUp(vmId, reason);
    if (this.#queues.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** The queues of requests for launches, and of work on VMs. */
  queues(): readonly Queue[] {
    const { runningMax, waitingMax, intakeMax } = this.#limits;
    const intake = { running: this.#intake.taken, capacity: intakeMax };
    const slots = { running: this.#slots.taken, capacity: runningMax };
    return [
      { name: 'intake', ...intake, waiting: this.#intake.waiting, waiting_max: waitingMax },
      {
        name: 'operations',
        ...slots,
        waiting: this.#slots.waiting + this.#awaySize,
        waiting_max: waitingMax,
      },
    ];
  }

  get #waiting(): number {
    return this.#slots.waiting + this.#intake.waiting + this.#awaySize;
  }

  #leave(vmId: number, queue: VmQueue, held: { abort: AbortController }): void {
    queue.turns.delete(held);
    if (queue.turns.size > 0) return;
    this.#queues.delete(vmId);
    if (this.#queues.size > 0) return;
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

  /** The drain rate is measured only while something waits. */
  #noteWaiting(): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#waiting > 0) this.#drain.full(nowMs);
    else this.#drain.empty(nowMs);
  }
}

/** The error if more requests wait for one VM than are allowed. */
export function tooManyWait(): VolantError {
  const why = 'Too many operations wait for this VM';
  return new VolantError('VM_STATE_CONFLICT', why, { retryAfterSeconds: 2 });
}
