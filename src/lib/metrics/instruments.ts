// lib, metrics: what counts while the daemon works. Each set of label values has a cell, which a caller looks up once
// and keeps, so that counting costs an addition. Callers use label values from fixed sets only: a cell is never removed.

import { type Family, type FamilyFacts, labelsOf, type Sample } from './family.ts';

/** A family with a cell for each set of label values; without labels it has its one cell from the start. */
abstract class CellFamily<Cell> implements Family {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  abstract readonly type: Family['type'];
  readonly #cells = new Map<string, Cell>();
  readonly #make: () => Cell;

  constructor({ name, help, labels = [] }: FamilyFacts, make: () => Cell) {
    this.name = name;
    this.help = help;
    this.labels = labels;
    this.#make = make;
    if (labels.length === 0) this.of();
  }

  of(...labelValues: readonly string[]): Cell {
    const labels = labelsOf(this.labels, labelValues);
    const known = this.#cells.get(labels);
    if (known !== undefined) return known;
    const cell = this.#make();
    this.#cells.set(labels, cell);
    return cell;
  }

  *samples(): Iterable<Sample> {
    for (const [labels, cell] of this.#cells) yield* this.samplesOf(labels, cell);
  }

  protected abstract samplesOf(labels: string, cell: Cell): Iterable<Sample>;
}

export interface CounterCell {
  value: number;
}

export class Counter extends CellFamily<CounterCell> {
  readonly type = 'counter';

  constructor(facts: FamilyFacts) {
    super(facts, () => ({ value: 0 }));
  }

  protected *samplesOf(labels: string, { value }: CounterCell): Iterable<Sample> {
    yield ['_total', labels, value];
  }
}

/** A sum and a count: the average of any interval follows from two readings. */
export interface SummaryCell {
  sum: number;
  count: number;
}

export class Summary extends CellFamily<SummaryCell> {
  readonly type = 'summary';

  constructor(facts: FamilyFacts) {
    super(facts, () => ({ sum: 0, count: 0 }));
  }

  protected *samplesOf(labels: string, { sum, count }: SummaryCell): Iterable<Sample> {
    yield ['_sum', labels, sum];
    yield ['_count', labels, count];
  }
}

/** The observations of one set of labels. */
export class HistogramCell {
  readonly #bounds: readonly number[];
  /** By bucket, not cumulative; the last one has no bound. */
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  /** The number of observations. */
  get count(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  observe(value: number): void {
    let bucket = 0;
    while (value > (this.#bounds[bucket] ?? Number.POSITIVE_INFINITY)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
  }

  *samples(labels: string): Iterable<Sample> {
    const open = labels === '' ? '{' : `${labels.slice(0, -1)},`;
    let count = 0;
    for (const [bucket, inBucket] of this.#counts.entries()) {
      count += inBucket;
      yield ['_bucket', `${open}le="${boundText(this.#bounds[bucket])}"}`, count];
    }
    yield ['_sum', labels, this.#sum];
    yield ['_count', labels, count];
  }
}

/** OpenMetrics wants the text of a floating point number. */
function boundText(bound: number | undefined): string {
  if (bound === undefined) return '+Inf';
  return Number.isInteger(bound) ? bound.toFixed(1) : String(bound);
}

export class Histogram extends CellFamily<HistogramCell> {
  readonly type = 'histogram';

  /** `bounds` are the upper bounds of the buckets in ascending order, without infinity. */
  constructor(facts: FamilyFacts, bounds: readonly number[]) {
    super(facts, () => new HistogramCell(bounds));
  }

  protected samplesOf(labels: string, cell: HistogramCell): Iterable<Sample> {
    return cell.samples(labels);
  }
}
