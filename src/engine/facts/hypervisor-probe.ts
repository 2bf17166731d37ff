// engine, facts: which hypervisor the host has and whether KVM works. Probed once, and again if the answer may have
// changed: a trial of KVM that timed out may have failed because the host was busy, so it is repeated while VMs run
// emulated.

import type { Limits } from '../../config/limits.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { HypervisorFacts, ProcessHost } from '../ports/process-ports.ts';
import type { KvmTrial } from '../records.ts';
import type { State } from '../state/state.ts';

type KvmLimits = Pick<
  Limits,
  'kvmFailedKeepMs' | 'kvmRetryMinMs' | 'kvmRetryMaxMs' | 'kvmRetryFactor'
>;

export interface HypervisorProbeParts {
  readonly host: Pick<ProcessHost, 'probeHypervisor'>;
  readonly state: Pick<State, 'commit'>;
  readonly limits: KvmLimits;
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

  /** The facts; probed once. HYPERVISOR_MISSING and HOST_PERMISSION are not cached. */
  facts(): Promise<HypervisorFacts> {
    this.#facts ??= this.#probe(false).catch((error: unknown) => {
      this.#facts = undefined;
      throw error;
    });
    return this.#facts;
  }

  /** Ends the retries. */
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

  /**
   * Measured by a monotonic clock from the last trial or the start of the daemon, so changes of the wall clock do not
   * matter.
   */
  #scheduleAfter(trial: KvmTrial | null): void {
    clearTimeout(this.#timer);
    const pauseMs = trial === null ? null : pauseAfter(trial, this.#parts.limits);
    if (pauseMs === null || this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#tryAgain(trial), pauseMs).unref();
  }

  /** VMs that are launched meanwhile, or after a failed trial, are launched as before. */
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

/** The pause in ms before the next trial; null if the result stands until host, hypervisor or kernel change. */
export function pauseAfter(
  { result, tries }: Pick<KvmTrial, 'result' | 'tries'>,
  limits: KvmLimits,
): number | null {
  if (result === 'works') return null;
  if (result === 'failed') return limits.kvmFailedKeepMs;
  const { kvmRetryMinMs, kvmRetryMaxMs, kvmRetryFactor } = limits;
  // More steps do not change the pause any more.
  const steps = Math.min(tries - 1, 20);
  return Math.min(kvmRetryMinMs * kvmRetryFactor ** steps, kvmRetryMaxMs);
}
