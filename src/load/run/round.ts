// load, run: one round: phases that follow one another in the same generator processes. An ordinary run has one round, a search
// for the highest rate has one for each try.

import { monotonicMs } from '../generator/clock.ts';
import type { GeneratorOrder } from '../generator/protocol.ts';
import { LOAD_LIMITS } from '../load-limits.ts';
import type { RunOwner } from '../owned/labels.ts';
import type { RunObserver, ThresholdReport } from '../report/run-report.ts';
import type { Phase, Scenario } from '../scenario/scenario.ts';
import type { Collector } from './collector.ts';
import { Generators, type GeneratorsEnd } from './generators.ts';
import type { MadeBySetup } from './setup.ts';
import type { Target } from './target.ts';
import { judged } from './verdict.ts';

/** From the order to begin until the first phase begins. */
const BEGIN_DELAY_MS = 100;
/** How often it is looked for seconds that are complete. */
const TICK_MS = 250;

export interface RoundParts {
  readonly target: Target;
  /** With the phases of this round. */
  readonly scenario: Scenario;
  readonly owner: RunOwner;
  readonly seed: number;
  readonly processes: number;
  readonly rawFile: string | null;
  readonly made: MadeBySetup;
  readonly collector: Collector;
  readonly observer: RunObserver;
  readonly signal: AbortSignal;
  /** Number of the round, from 0. */
  readonly number: number;
  /** Start of the run on the monotonic clock; undefined: this round starts it. */
  readonly runBeginMs: number | undefined;
  /** Before the first phase of the round, with the start of the run. */
  readonly onBegin: (runBeginMs: number) => void;
}

export interface RoundEnd extends GeneratorsEnd {
  readonly abortedBy: ThresholdReport | undefined;
}

/** Where a process writes its raw lines, until they are joined. */
export function rawPart(rawFile: string, round: number, index: number): string {
  return `${rawFile}.${round}.${index}.part`;
}

/** Rejects if a process does not come up. Leaves no process in any case. */
export async function runRound(parts: RoundParts): Promise<RoundEnd> {
  const { scenario, collector, processes, signal } = parts;
  const generators = await Generators.start(ordersOf(parts), (index, windows) =>
    collector.add(index, windows),
  );
  try {
    const soonMs = monotonicMs() + BEGIN_DELAY_MS;
    const runBeginMs = parts.runBeginMs ?? soonMs;
    // A round begins with a second of the run, so that its seconds are those of the samples.
    const second = Math.ceil((soonMs - runBeginMs) / 1000);
    const beginMs = runBeginMs + second * 1000;
    collector.beginRound(scenario.phases, second, processes);
    parts.onBegin(runBeginMs);
    generators.begin(beginMs, second * 1000);
    const watch = new RoundWatch(parts, runBeginMs, generators);
    const onAbort = () => watch.endEarly();
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      const plannedMs = plannedMsOf(scenario.phases);
      const leftMs = beginMs - monotonicMs() + plannedMs + scenario.drainMs;
      const end = await generators.finish(leftMs + LOAD_LIMITS.processEndMs);
      return { ...end, abortedBy: watch.abortedBy };
    } finally {
      signal.removeEventListener('abort', onAbort);
      watch.close();
    }
  } finally {
    await generators.kill();
  }
}

export function plannedMsOf(phases: readonly Phase[]): number {
  return phases.reduce((sum, { durationMs }) => sum + durationMs, 0);
}

/** Tells the observer of each second, and ends the round when a threshold with `abort` is broken. */
class RoundWatch {
  readonly #parts: RoundParts;
  readonly #runBeginMs: number;
  readonly #generators: Generators;
  readonly #timer: NodeJS.Timeout;
  #hasEnded = false;
  abortedBy: ThresholdReport | undefined;

  constructor(parts: RoundParts, runBeginMs: number, generators: Generators) {
    this.#parts = parts;
    this.#runBeginMs = runBeginMs;
    this.#generators = generators;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** The second in which the round ends is reported, too. */
  close(): void {
    clearInterval(this.#timer);
    this.#tick(true);
  }

  endEarly(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#parts.collector.endRound(monotonicMs() - this.#runBeginMs);
    this.#generators.end(LOAD_LIMITS.abortDrainMs);
    this.#generators.giveUpAfter(LOAD_LIMITS.abortDrainMs + LOAD_LIMITS.processEndMs);
  }

  #tick(isLast = false): void {
    const { collector, observer, scenario, runBeginMs } = this.#parts;
    const nowMs = monotonicMs() - this.#runBeginMs;
    const nowSecond = isLast ? Math.ceil(nowMs / 1000) : Math.floor(nowMs / 1000);
    const samples = collector.takeSamples(nowSecond);
    if (samples.length === 0) return;
    const { total, operations } = collector.operations(nowMs);
    const phases = collector.phases();
    const all = { total, operations, phases };
    const thresholds = scenario.thresholds.map((threshold) => judged(threshold, all));
    const plannedMs = runBeginMs === undefined ? plannedMsOf(scenario.phases) : nowMs;
    for (const sample of samples) {
      const phase = collector.progressPhase(sample.atMs);
      observer.onSample?.({ sample, phase, plannedMs, total, operations, thresholds });
    }
    const breached = scenario.thresholds.findIndex((threshold, index) => {
      const report = thresholds[index];
      // What has not been measured yet is no breach yet.
      const isBroken = report?.held === false && report.value !== null;
      return threshold.abort && isBroken && nowMs >= threshold.afterMs;
    });
    if (breached === -1 || this.#hasEnded || isLast) return;
    this.abortedBy = thresholds[breached];
    this.endEarly();
  }
}

function ordersOf(parts: RoundParts): GeneratorOrder[] {
  const { target, scenario, owner, seed, processes, rawFile, made, number } = parts;
  const share = <T>(all: readonly T[], index: number) =>
    all.filter((_, at) => at % processes === index);
  return Array.from({ length: processes }, (_, index) => ({
    url: target.url,
    apiKey: target.apiKey,
    ca: target.ca,
    scenario,
    owner,
    seed,
    index,
    processes,
    round: number,
    maxInFlight: inFlightShare(scenario.maxInFlight, processes, index),
    vms: share(made.vms, index),
    deployments: share(made.deployments, index),
    rawFile: rawFile === null ? null : rawPart(rawFile, number, index),
  }));
}

/** All shares together are the whole. */
function inFlightShare(all: number, processes: number, index: number): number {
  return Math.floor(all / processes) + (index < all % processes ? 1 : 0);
}
