// engine: whether the daemon can do its work now, found out by trying: a durable write, a thread that answers, a main
// thread that was not held up. Asked on demand and answered within a bound, whatever hangs.

import { LIMITS } from '../config.ts';
import type { Clock } from '../lib/clock.ts';
import { within } from '../lib/deadline.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { HostPort } from './ports.ts';
import type { StorePort } from './store-ports.ts';
import type { HealthReason, HealthReport } from './system-api.ts';

export interface HealthParts {
  readonly store: Pick<StorePort, 'probe'>;
  readonly host: Pick<HostPort, 'probeThreads' | 'hangingJobs'>;
  /** The longest recent stall of the event loop. */
  readonly stalledMs: () => number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Logger;
}

/** A question that is asked once at a time: one that hangs is not asked again beside itself. */
class Question {
  readonly #ask: () => Promise<HealthReason | null>;
  readonly #late: HealthReason;
  #asked: Promise<HealthReason | null> | null = null;

  /** `ask` never rejects; `late` is the answer while none comes. */
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
  readonly #store: Question;
  readonly #threads: Question;
  #look: Promise<HealthReport> | null = null;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #told = '';

  constructor(parts: HealthParts) {
    this.#parts = parts;
    this.#store = new Question(() => this.#askStore(), 'STORE_STUCK');
    this.#threads = new Question(() => this.#askThreads(), 'WORKERS_STUCK');
  }

  /** At most LIMITS.healthKeepMs old. Never rejects, and takes little more than LIMITS.healthTimeoutMs. */
  report(): Promise<HealthReport> {
    const nowMs = this.#parts.clock.monotonicMs();
    if (this.#look === null || nowMs - this.#lookedAtMs >= LIMITS.healthKeepMs) {
      this.#lookedAtMs = nowMs;
      this.#look = this.#find();
    }
    return this.#look;
  }

  async #find(): Promise<HealthReport> {
    const { stalledMs, host, log } = this.#parts;
    const found = await Promise.all([this.#store.answer(), this.#threads.answer()]);
    const reasons = found.filter((reason) => reason !== null);
    if (stalledMs() >= LIMITS.healthStallMs) reasons.push('LOOP_STALLED');
    const told = reasons.join(' ');
    if (told !== this.#told) {
      if (told === '') log.info({}, 'the daemon is healthy again');
      else log.warn({ reasons }, 'the daemon is not healthy');
    }
    this.#told = told;
    return { reasons, warnings: host.hangingJobs() > 0 ? ['JOBS_HANGING'] : [] };
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
