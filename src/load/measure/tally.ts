// load, measure: what is counted of one operation: how often it ended in which way, and how long it took.

import { LOAD_LIMITS } from '../load-limits.ts';
import type { CountByCode, OperationReport } from '../report/run-report.ts';
import { Histogram, type HistogramData } from './histogram.ts';
import type { OperationOutcome } from './outcomes.ts';

type Counts = Readonly<Record<string, number>>;

/** A tally as it crosses processes. */
export interface TallyData {
  readonly refusals: Counts;
  readonly errors: Counts;
  readonly skipped: Counts;
  /** Of what succeeded. */
  readonly latency: HistogramData;
}

export class Tally {
  readonly #refusals = new CodeCounts();
  readonly #errors = new CodeCounts();
  readonly #skipped = new CodeCounts();
  readonly latency = new Histogram();

  record(outcome: OperationOutcome, latencyMs: number): void {
    if (outcome.kind === 'succeeded') this.latency.record(latencyMs);
    else if (outcome.kind === 'refused') this.#refusals.add(outcome.code, 1);
    else this.#errors.add(outcome.code, 1);
  }

  recordSkipped(reason: string): void {
    this.#skipped.add(reason, 1);
  }

  add({ refusals, errors, skipped, latency }: TallyData): void {
    this.#refusals.addAll(refusals);
    this.#errors.addAll(errors);
    this.#skipped.addAll(skipped);
    this.latency.add(latency);
  }

  data(): TallyData {
    return {
      refusals: this.#refusals.byCode(),
      errors: this.#errors.byCode(),
      skipped: this.#skipped.byCode(),
      latency: this.latency.data(),
    };
  }

  /** Operations that have ended. */
  get count(): number {
    return this.latency.count + this.#refusals.total + this.#errors.total;
  }

  get errors(): number {
    return this.#errors.total;
  }

  get refusals(): number {
    return this.#refusals.total;
  }

  get skipped(): number {
    return this.#skipped.total;
  }

  /** `durationMs` is the time over which the rate is formed. */
  report(name: string, kind: OperationReport['kind'], durationMs: number): OperationReport {
    return {
      name,
      kind,
      count: this.count,
      succeeded: this.latency.count,
      refusals: this.#refusals.report(),
      errors: this.#errors.report(),
      skipped: this.#skipped.report(),
      ratePerSecond: durationMs > 0 ? this.latency.count / (durationMs / 1000) : 0,
      latency: this.latency.summary(),
    };
  }
}

class CodeCounts {
  readonly #counts = new Map<string, number>();
  total = 0;

  add(code: string, count: number): void {
    const isNew = !this.#counts.has(code);
    const key = isNew && this.#counts.size >= LOAD_LIMITS.codesPerOperationMax ? 'OTHER' : code;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
    this.total += count;
  }

  addAll(counts: Counts): void {
    for (const [code, count] of Object.entries(counts)) this.add(code, count);
  }

  byCode(): Counts {
    return Object.fromEntries(this.#counts);
  }

  report(): CountByCode {
    const sorted = [...this.#counts].sort(([one], [other]) => (one < other ? -1 : 1));
    return { total: this.total, byCode: Object.fromEntries(sorted) };
  }
}
