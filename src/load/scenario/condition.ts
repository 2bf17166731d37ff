// load, scenario: conditions on what was measured, as thresholds and the search for the highest rate have them:
// `create.p99 < 200ms`, `spike:create.errors < 1%`, `rate > 50`.

import { MEASURES, type Measure, type MeasureUnit, measureOf } from '../report/measures.ts';
import type { OperationReport } from '../report/run-report.ts';

type Comparison = '<' | '<=' | '>' | '>=';

export interface Condition {
  readonly text: string;
  /** undefined: the whole run. */
  readonly phase: string | undefined;
  /** `total`: all steps together. */
  readonly operation: string;
  readonly measure: Measure;
  readonly comparison: Comparison;
  /** In `unit`. */
  readonly bound: number;
  readonly unit: MeasureUnit;
}

export class ConditionError extends Error {
  override readonly name = 'ConditionError';
}

const FORM =
  /^(?:(?<phase>[^:]+):)?(?:(?<operation>[A-Za-z_][\w-]*)\.)?(?<measure>[a-z]+[\d.]*)\s*(?<comparison><=|>=|<|>)\s*(?<number>\d+(?:\.\d+)?)\s*(?<unit>[a-zµ%/]*)$/;

/** Factors from what is written to the unit of the condition. */
const UNITS: Readonly<Record<MeasureUnit, Readonly<Record<string, number>>>> = {
  ms: { us: 0.001, µs: 0.001, ms: 1, s: 1000, m: 60_000 },
  share: { '%': 0.01 },
  count: { '': 1 },
  per_second: { '': 1, '/s': 1 },
};

/** Throws ConditionError with a sentence that says what is wrong. */
export function parseCondition(given: string): Condition {
  const text = given.trim();
  const groups = FORM.exec(text)?.groups;
  if (groups === undefined) {
    throw new ConditionError(
      'must be like "create.p99 < 200ms", "create.errors < 1%" or "rate > 50"',
    );
  }
  const { phase, operation, measure = '', comparison, number, unit: suffix = '' } = groups;
  const known = Object.entries(MEASURES).find(([name]) => name === measure);
  if (known === undefined) {
    throw new ConditionError(
      `has no measure ${measure}: it is one of ${Object.keys(MEASURES).join(', ')}`,
    );
  }
  const [name, base] = known as [Measure, MeasureUnit];
  // Errors, refusals and skipped starts are counted as well as compared with all.
  const unit = base === 'share' && suffix === '' ? 'count' : base;
  const factor = UNITS[unit][suffix];
  if (factor === undefined) {
    const units = Object.keys(UNITS[unit]).filter((name) => name !== '');
    throw new ConditionError(
      `needs a value of ${measure} in ${units.join(', ') || 'plain numbers'}`,
    );
  }
  return {
    text,
    phase: phase?.trim(),
    operation: operation ?? 'total',
    measure: name,
    comparison: comparison as Comparison,
    bound: Number(number) * factor,
    unit,
  };
}

/** null: there was nothing to measure. */
export function measured(
  { measure, unit }: Condition,
  operation: OperationReport | undefined,
): number | null {
  return operation === undefined ? null : measureOf(operation, measure, unit);
}

/** What was not measured does not hold. */
export function holds({ comparison, bound }: Condition, value: number | null): boolean {
  if (value === null) return false;
  switch (comparison) {
    case '<':
      return value < bound;
    case '<=':
      return value <= bound;
    case '>':
      return value > bound;
    case '>=':
      return value >= bound;
  }
}

/** A value in the unit of a condition, for a person. */
export function valueText(value: number | null, unit: MeasureUnit): string {
  if (value === null) return 'nothing was measured';
  const round = (number: number) => String(Number(number.toPrecision(4)));
  switch (unit) {
    case 'ms':
      return `${round(value)} ms`;
    case 'share':
      return `${round(value * 100)} %`;
    case 'per_second':
      return `${round(value)}/s`;
    case 'count':
      return round(value);
  }
}
