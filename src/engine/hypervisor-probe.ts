// engine: which hypervisor there is and whether KVM works, found out once and again where that may have changed: a trial
// of KVM that was not in time may have been so because the host was busy, so that it is repeated while VMs run emulated.

import { LIMITS } from '../config.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { HostPort, HypervisorFacts } from './ports.ts';
import type { KvmTrial } from './records.ts';
import type { State } from './state.ts';

export interface HypervisorProbeParts {
  readonly host: Pick<HostPort, 'probeHypervisor'>;
  readonly state: Pick<State, 'commit'>;
  readonly clock: Clock;
  readonly log: Logger;
}

export class HypervisorProbe {
  readonly #parts: HypervisorProbeParts;
  #facts: Promise<HypervisorFacts> | undefined;
  #trials: Readonly<Record<string, KvmTrial>>;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(parts: HypervisorProbeParts, trials: Readonly<Record<string, KvmTrial>>) {
    this.#parts = parts;
    this.#trials = trials;
  }

  /** Probed once. HYPERVISOR_MISSING and HOST_PERMISSION are asked again at the next call. */
  facts(): Promise<HypervisorFacts> {
    this.#facts ??= this.#probe(false).catch((error: unknown) => {
      this.#facts = undefined;
      throw error;
    });
    return this.#facts;
  }

  /** Tries nothing again. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #probe(mayTryAgain: boolean): Promise<HypervisorFacts> {
    const { host, state, clock } = this.#parts;
    const before = this.#trials;
    const { facts, kvmTrials } = await host.probeHypervisor({
      trials: before,
      mayTryAgain,
      nowMs: clock.nowMs(),
    });
    this.#scheduleAfter(facts.kvmTrial);
    if (JSON.stringify(kvmTrials) !== JSON.stringify(before)) {
      this.#trials = kvmTrials;
      await state.commit([{ table: 'meta', key: 'kvmTrials', value: { ...kvmTrials } }], []);
    }
    return facts;
  }

  /** By a monotonic clock, from the last trial or the start of the daemon on: what a wall clock says does not matter. */
  #scheduleAfter(trial: KvmTrial | null): void {
    clearTimeout(this.#timer);
    const pauseMs = trial === null ? null : pauseAfter(trial);
    if (pauseMs === null || this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#tryAgain(trial), pauseMs).unref();
  }

  /** VMs that are launched meanwhile, and after a trial that fails, are launched as before. */
  async #tryAgain(before: KvmTrial | null): Promise<void> {
    const { log } = this.#parts;
    try {
      const facts = await this.#probe(true);
      this.#facts = Promise.resolve(facts);
      const { kvmTrial, accelerator } = facts;
      log.info(
        { before: before?.result, now: kvmTrial?.result, accelerator },
        'KVM was tried again',
      );
    } catch (error) {
      log.warn({ err: error }, 'KVM could not be tried again');
      this.#scheduleAfter(before);
    }
  }
}

/** Until the next trial; null: what it said stands for as long as host, hypervisor and kernel are the same. */
export function pauseAfter({ result, tries }: Pick<KvmTrial, 'result' | 'tries'>): number | null {
  if (result === 'works') return null;
  if (result === 'failed') return LIMITS.kvmFailedKeepMs;
  const { kvmRetryMinMs, kvmRetryMaxMs, kvmRetryFactor } = LIMITS;
  // Beyond that the longest pause is reached.
  const steps = Math.min(tries - 1, 20);
  return Math.min(kvmRetryMinMs * kvmRetryFactor ** steps, kvmRetryMaxMs);
}
