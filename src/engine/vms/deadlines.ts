// engine, vms: deletes VMs whose deadline has passed. The deadlines are in the records, so this needs no memory of its own and
// continues what an earlier daemon began.

import type { Limits } from '../../config/limits.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { StoredEvent } from '../records.ts';
import type { State } from '../state/state.ts';
import { leftMs } from '../vm-record/deadline.ts';
import type { Vms } from './vms.ts';

export interface DeadlinesParts {
  readonly state: State;
  readonly vms: Pick<Vms, 'expire'>;
  readonly limits: Pick<Limits, 'deadlineLookMs' | 'deadlineTimerMs' | 'deadlineRetryMs'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** After these a VM may have another deadline. */
const MAY_CHANGE = ['VM_CREATED', 'VM_DEADLINE_CHANGED'];

export class Deadlines {
  readonly #parts: DeadlinesParts;
  /** VMs that are being deleted by this. */
  readonly #expiring = new Set<number>();
  /** When it looks, by the monotonic clock. */
  #nextMs = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #unsubscribe: () => void = () => undefined;

  constructor(parts: DeadlinesParts) {
    this.#parts = parts;
  }

  /** Call it after recovery. */
  start(): void {
    this.#unsubscribe = this.#parts.state.events.subscribe((events) => this.#hear(events));
    this.#look();
  }

  /** What was begun ends like every other delete. */
  close(): void {
    this.#unsubscribe();
    clearTimeout(this.#timer);
    this.#nextMs = Number.NEGATIVE_INFINITY;
  }

  #hear(events: readonly StoredEvent[]): void {
    const { state, clock } = this.#parts;
    for (const { body } of events) {
      if (!MAY_CHANGE.includes(body.type)) continue;
      this.#lookIn(leftMs(state.vms.recordByName(body.name)?.deadline, clock));
    }
  }

  #look(): void {
    const { state, clock } = this.#parts;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const { id, name, deadline, wantedState } of state.vms.summaries()) {
      if (deadline === null || wantedState === 'deleted') continue;
      const left = leftMs(deadline, clock);
      if (left > 0) nextMs = Math.min(nextMs, left);
      else void this.#expire(id, name);
    }
    this.#nextMs = Number.POSITIVE_INFINITY;
    this.#lookIn(nextMs);
  }

  async #expire(id: number, name: string): Promise<void> {
    if (this.#expiring.has(id)) return;
    this.#expiring.add(id);
    const { vms, limits, log } = this.#parts;
    try {
      await vms.expire(id);
    } catch (error) {
      if (error instanceof VolantError && error.code === 'VM_NOT_FOUND') return;
      log.warn({ vm: name, err: error }, 'a VM could not be deleted at its deadline');
      this.#lookIn(limits.deadlineRetryMs);
    } finally {
      this.#expiring.delete(id);
    }
  }

  /** All VMs are looked at, so deadlines that are close to each other share a look. */
  #lookIn(ms: number): void {
    const { clock, limits } = this.#parts;
    const delayMs = Math.min(limits.deadlineTimerMs, Math.max(limits.deadlineLookMs, ms));
    const atMs = clock.monotonicMs() + delayMs;
    if (ms === Number.POSITIVE_INFINITY || atMs >= this.#nextMs) return;
    this.#nextMs = atMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), delayMs);
  }
}
