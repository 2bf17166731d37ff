// lib, metrics: what a metric is: a family of samples with one name. How families are written as text is in
// exposition.ts; what counts on hot paths is in instruments.ts.

/** `info` is a gauge of the value 1 whose labels are what it says. A summary here has a sum and a count, no quantiles. */
export type MetricType = 'counter' | 'gauge' | 'histogram' | 'summary' | 'info';

/** A suffix such as `_bucket`, empty for the family's own name; labels as rendered by labelsOf; a value. */
export type Sample = readonly [suffix: string, labels: string, value: number];

export interface Family {
  /** Without the suffixes _total and _info, which the type adds. */
  readonly name: string;
  readonly type: MetricType;
  /** A sentence without the full stop. */
  readonly help: string;
  /** The names of the labels that samples have, without `le`. */
  readonly labels: readonly string[];
  /** Generated while it is read, so that many samples need not be in memory. */
  samples(): Iterable<Sample>;
}

/** The description of a family. */
export type FamilyFacts = Omit<Family, 'samples' | 'type' | 'labels'> & {
  readonly labels?: readonly string[];
};

/** `{a="x",b="y"}`; empty without labels. */
export function labelsOf(names: readonly string[], values: readonly string[]): string {
  if (names.length === 0) return '';
  const pairs = names.map((name, at) => `${name}="${escaped(values[at] ?? '')}"`);
  return `{${pairs.join(',')}}`;
}

function escaped(value: string): string {
  if (!/[\\"\n]/.test(value)) return value;
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

/** Values with the values of their labels. */
export type Values = Iterable<readonly [labelValues: readonly string[], value: number]>;

/** A gauge of what is read now. A number is the only sample of a family without labels; null: it has no sample. */
export function gauge(facts: FamilyFacts, values: number | null | Values): Family {
  return read('gauge', facts, '', values);
}

/** A counter that another part counts. */
export function counter(facts: FamilyFacts, values: number | null | Values): Family {
  return read('counter', facts, '_total', values);
}

export function info(facts: FamilyFacts, labelValues: readonly string[]): Family {
  return read('info', facts, '_info', [[labelValues, 1]]);
}

function read(
  type: MetricType,
  { labels = [], ...facts }: FamilyFacts,
  suffix: string,
  values: number | null | Values,
): Family {
  return {
    ...facts,
    type,
    labels,
    *samples() {
      if (values === null) return;
      if (typeof values === 'number') yield [suffix, '', values];
      else for (const [own, value] of values) yield [suffix, labelsOf(labels, own), value];
    },
  };
}
