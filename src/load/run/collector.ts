// load, run: joins what the generator processes measured: by phase and operation, over the whole run, and by second.

import { levelAt } from '../arrivals/plan.ts';
import type { FromGenerator, WindowData, WindowEntry } from '../generator/protocol.ts';
import { LOAD_LIMITS } from '../load-limits.ts';
import { Tally, type TallyData } from '../measure/tally.ts';
import type { OperationReport, PhaseReport, RunProgress, Sample } from '../report/run-report.ts';
import type { Phase } from '../scenario/scenario.ts';
import { TOTAL } from '../scenario/scenario-rules.ts';
import { closedSample, emptySample, type OpenSample, SampleStore } from './sample-store.ts';

type Windows = Extract<FromGenerator, { kind: 'windows' }>;

/** Operations by kind and name, and their sum. */
class Operations {
  readonly #tallies = new Map<string, { kind: 'step' | 'flow'; name: string; tally: Tally }>();
  readonly total = new Tally();

  add({ kind, name, tally }: WindowEntry): void {
    const key = `${kind} ${name}`;
    const known = this.#tallies.get(key) ?? { kind, name, tally: new Tally() };
    this.#tallies.set(key, known);
    known.tally.add(tally);
    this.total.add(stepsOf(kind, tally));
  }

  reports(durationMs: number): OperationReport[] {
    const order = (one: { kind: string; name: string }) =>
      (one.kind === 'step' ? '0' : '1') + one.name;
    return [...this.#tallies.values()]
      .sort((one, other) => (order(one) < order(other) ? -1 : 1))
      .map(({ kind, name, tally }) => tally.report(name, kind, durationMs));
  }
}

/** A flow is the sum of its steps, so only its skipped starts count beside them. */
function stepsOf(kind: WindowEntry['kind'], tally: TallyData): TallyData {
  return kind === 'step' ? tally : { ...new Tally().data(), skipped: tally.skipped };
}

interface PlacedPhase {
  readonly phase: Phase;
  readonly startMs: number;
  durationMs: number;
  readonly operations: Operations;
  readonly first: Tally;
  readonly last: Tally;
}

/** What one process has sent of the current round. */
interface Source {
  upToSecond: number;
  inFlight: number;
}

export class Collector {
  readonly #phases: PlacedPhase[] = [];
  readonly #operations = new Operations();
  readonly #store = new SampleStore();
  readonly #seconds = new Map<number, OpenSample>();
  readonly #messages = new Set<string>();
  #sources: Source[] = [];
  #roundPhase = 0;
  #roundSecond = 0;
  /** Seconds before this one were reported to the observer. */
  #reported = 0;

  /** The next phases begin at this second of the run, in so many processes. */
  beginRound(phases: readonly Phase[], second: number, processes: number): void {
    this.#roundPhase = this.#phases.length;
    this.#roundSecond = second;
    this.#sources = Array.from({ length: processes }, () => ({ upToSecond: 0, inFlight: 0 }));
    let startMs = second * 1000;
    for (const phase of phases) {
      const tallies = { operations: new Operations(), first: new Tally(), last: new Tally() };
      this.#phases.push({ phase, startMs, durationMs: phase.durationMs, ...tallies });
      startMs += phase.durationMs;
    }
  }

  /** The phases of the round end here at the latest: the run was ended early. */
  endRound(atMs: number): void {
    for (const placed of this.#phases.slice(this.#roundPhase)) {
      placed.durationMs = Math.max(0, Math.min(placed.durationMs, atMs - placed.startMs));
    }
  }

  add(processIndex: number, { upToSecond, windows, inFlight, messages }: Windows): void {
    const source = this.#sources[processIndex];
    if (source === undefined) return;
    source.upToSecond = Math.max(source.upToSecond, upToSecond);
    source.inFlight = inFlight;
    for (const window of windows) this.#addWindow(window);
    for (const message of messages) {
      if (this.#messages.size < LOAD_LIMITS.messagesMax) this.#messages.add(message);
    }
  }

  addDaemon(second: number, values: Readonly<Record<string, number>>): void {
    for (const sample of this.#both(second)) sample.daemon = values;
  }

  /** Takes the seconds that every process has reported, or that are so old that the others are not waited for. */
  takeSamples(nowSecond: number): Sample[] {
    const complete = this.#roundSecond + Math.min(...this.#sources.map((one) => one.upToSecond));
    const overdue = nowSecond - LOAD_LIMITS.windowWaitMs / 1000;
    const samples: Sample[] = [];
    for (
      ;
      this.#reported < Math.max(complete, overdue) && this.#reported < nowSecond;
      this.#reported += 1
    ) {
      const inFlight = this.#sources.reduce((sum, source) => sum + source.inFlight, 0);
      for (const sample of this.#both(this.#reported)) sample.inFlight = inFlight;
      const sample = this.#seconds.get(this.#reported) ?? emptySample();
      this.#seconds.delete(this.#reported);
      const atMs = this.#reported * 1000;
      samples.push(closedSample(sample, atMs, this.#phaseAt(atMs)?.phase.name ?? null));
    }
    return samples;
  }

  progressPhase(atMs: number): RunProgress['phase'] {
    const placed = this.#phaseAt(atMs);
    if (placed === undefined) return null;
    const { phase, startMs, durationMs } = placed;
    return {
      name: phase.name,
      kind: phase.kind,
      model: phase.model,
      number: this.#phases.indexOf(placed) + 1,
      count: this.#phases.length,
      startMs,
      durationMs,
      level: levelAt(phase.plan, Math.min(atMs + 1000, startMs + durationMs - 1) - startMs),
    };
  }

  phases(): PhaseReport[] {
    return this.#phases.map(({ phase, startMs, durationMs, operations, first, last }) => ({
      name: phase.name,
      kind: phase.kind,
      model: phase.model,
      startMs,
      durationMs,
      plan: phase.plan.map(({ atMs, level }) => ({ atMs: startMs + atMs, level })),
      operations: operations.reports(durationMs),
      total: operations.total.report(TOTAL, 'total', durationMs),
      drift:
        phase.kind === 'soak'
          ? { first: first.latency.summary(), last: last.latency.summary() }
          : null,
    }));
  }

  /** Over the whole run, as far as it has come. */
  operations(nowMs: number): { total: OperationReport; operations: OperationReport[] } {
    const activeMs = this.#phases.reduce(
      (sum, { startMs, durationMs }) => sum + Math.max(0, Math.min(durationMs, nowMs - startMs)),
      0,
    );
    return {
      total: this.#operations.total.report(TOTAL, 'total', activeMs),
      operations: this.#operations.reports(activeMs),
    };
  }

  samples(): { samples: Sample[]; sampleIntervalMs: number } {
    const samples = this.#store.samples((atMs) => this.#phaseAt(atMs)?.phase.name ?? null);
    return { samples, sampleIntervalMs: this.#store.intervalMs };
  }

  messages(): string[] {
    return [...this.#messages];
  }

  #addWindow({ second, started, lateMsMax, entries }: WindowData): void {
    for (const sample of this.#both(this.#roundSecond + second)) {
      sample.started += started;
      sample.lateMsMax = Math.max(sample.lateMsMax, lateMsMax);
      for (const { kind, tally } of entries) sample.tally.add(stepsOf(kind, tally));
    }
    for (const entry of entries) {
      this.#operations.add(entry);
      const placed = this.#phases[this.#roundPhase + entry.phase];
      placed?.operations.add(entry);
      if (entry.part !== null) placed?.[entry.part].add(entry.tally);
    }
  }

  /** The sample of the report, and that of the observer if it has not had it yet. */
  #both(second: number): OpenSample[] {
    if (second < this.#reported) return [this.#store.at(second)];
    const known = this.#seconds.get(second) ?? emptySample();
    this.#seconds.set(second, known);
    return [this.#store.at(second), known];
  }

  #phaseAt(atMs: number): PlacedPhase | undefined {
    return this.#phases.find(
      ({ startMs, durationMs }) => startMs <= atMs && atMs < startMs + durationMs,
    );
  }
}
