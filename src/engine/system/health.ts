// engine, system: whether the daemon can do its work now, found by trying: a durable write, a thread that answers, an
// event loop that did not stall. Runs on demand and answers within a deadline, whatever hangs.

import { LIMITS } from '../../config/limits.ts';
import type { Clock } from '../../lib/clock.ts';
import { within } from '../../lib/deadline.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { SystemHost } from '../ports/host-ports.ts';
import type { StorePort } from '../ports/store-ports.ts';
import type { HealthReason, HealthReport } from '../system-api.ts';

export interface HealthParts {
  readonly store: Pick<StorePort, 'probe'>;
  readonly host: Pick<SystemHost, 'probeThreads' | 'hangingJobs'>;
  /** The longest recent stall of the event loop, in ms. */
  readonly stalledMs: () => number;
  /** One of the records was found to be damaged. */
  readonly areRecordsDamaged: () => boolean;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Logger;
}

/** A probe that runs once at a time: one that hangs is not started again. */
class Probe {
  readonly #ask: () => Promise<HealthReason | null>;
  readonly #late: HealthReason;
  #asked: Promise<HealthReason | null> | null = null;

  /** `ask` never rejects. `late` is the answer after the deadline. */
  constructor(ask: () => Promise<HealthReason | null>, late: HealthReason) {
    this.#ask = ask;
    this.#late = late;
  }

  async answer(): Promise<HealthReason | null> {
    this.#asked ??= this.#ask().finally(() => {
      this.#asked = null;
    });
    const answer = await within(this.#asked, LIMITS.healthTimeoutMs);
    return answer === undefined ? this.#late : answer;
  }
}

export class Health {
  readonly #parts: HealthParts;
  readonly #store: Probe;
  readonly #threads: Probe;
  #report: Promise<HealthReport> | null = null;
  #reportedAtMs = Number.NEGATIVE_INFINITY;
  #reported = '';

  constructor(parts: HealthParts) {
    this.#parts = parts;
    this.#store = new Probe(() => this.#askStore(), 'STORE_STUCK');
    this.#threads = new Probe(() => this.#askThreads(), 'WORKERS_STUCK');
  }

  /** The health, at most LIMITS.healthKeepMs old. Never rejects, and takes little more than LIMITS.healthTimeoutMs. */
  report(): Promise<HealthReport> {
    const nowMs = this.#parts.clock.monotonicMs();
    if (this.#report === null || nowMs - this.#reportedAtMs >= LIMITS.healthKeepMs) {
      this.#reportedAtMs = nowMs;
      this.#report = this.#find();
    }
    return this.#report;
  }

  async #find(): Promise<HealthReport> {
    const { stalledMs, areRecordsDamaged, host, log } = this.#parts;
    const found = await Promise.all([this.#store.answer(), this.#threads.answer()]);
    const reasons = found.filter((reason) => reason !== null);
    if (stalledMs() >= LIMITS.healthStallMs) reasons.push('LOOP_STALLED');
    const current = reasons.join(' ');
    if (current !== this.#reported) {
      if (current === '') log.info({}, 'the daemon is healthy again');
      else log.warn({ reasons }, 'the daemon is not healthy');
    }
    this.#reported = current;
    const warnings = [
      ...(host.hangingJobs() > 0 ? ['JOBS_HANGING'] : []),
      ...(areRecordsDamaged() ? ['RECORDS_DAMAGED'] : []),
    ];
    return { reasons, warnings };
  }

  async #askStore(): Promise<HealthReason | null> {
    try {
      await this.#parts.store.probe();
      return null;
    } catch (error) {
      const isFull = error instanceof VolantError && error.code === 'DISK_SPACE_LOW';
      if (!isFull) this.#parts.log.debug({ err: error }, 'the store cannot be written');
      return isFull ? 'DISK_FULL' : 'STORE_UNAVAILABLE';
    }
  }

  async #askThreads(): Promise<HealthReason | null> {
    try {
      await this.#parts.host.probeThreads(LIMITS.healthTimeoutMs);
      return null;
    } catch (error) {
      this.#parts.log.debug({ err: error }, 'no worker thread answers');
      return 'WORKERS_STUCK';
    }
  }
}
