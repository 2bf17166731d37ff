// load, scenario: turns checked parts of a scenario file into the parts of a scenario, and says what is wrong with those whose
// form depends on one of their own members.

import type { TSchema } from 'typebox';
import { join } from '../../lib/formats/member-path.ts';
import { planOf, type Shape } from '../arrivals/plan.ts';
import type { PhaseKind } from '../report/run-report.ts';
import { ConditionError, parseCondition } from './condition.ts';
import type { Flow, Phase, Step, Threshold } from './scenario.ts';
import {
  FLOW_SCHEMA,
  PHASE_SCHEMAS,
  STEP_SCHEMAS,
  type StepWord,
  THRESHOLD_SCHEMA,
} from './scenario-schema.ts';
import { addProblem, checkShape, type ScenarioProblems } from './shape-check.ts';

/** A threshold with `abort` waits for a few figures before it ends a run. */
const ABORT_AFTER_MS = 5_000;

type Members = Readonly<Record<string, unknown>>;

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Checks a value whose schema is chosen by one of its words. undefined: it is wrong. */
function chosen(
  schemas: Readonly<Record<string, TSchema>>,
  word: string,
  value: unknown,
  path: string,
  problems: ScenarioProblems,
): Members | undefined {
  if (!isMembers(value)) {
    addProblem(problems, path, 'must be an object');
    return undefined;
  }
  const given = value[word];
  const schema =
    typeof given === 'string' && Object.hasOwn(schemas, given) ? schemas[given] : undefined;
  if (schema === undefined) {
    addProblem(problems, join(path, word), `must be one of ${Object.keys(schemas).join(', ')}`);
    return undefined;
  }
  return checkShape(schema, value, path, problems) ? value : undefined;
}

interface AnyPhase {
  readonly kind: PhaseKind;
  readonly name?: string;
  readonly duration_seconds: number;
  readonly think_seconds?: number;
  readonly rate_per_second?: unknown;
  readonly users?: unknown;
}

export function phaseOf(
  value: unknown,
  index: number,
  problems: ScenarioProblems,
): Phase | undefined {
  const path = join('phases', index);
  const members = chosen(PHASE_SCHEMAS, 'kind', value, path, problems);
  if (members === undefined) return undefined;
  const given = members as unknown as AnyPhase;
  const { kind, name, duration_seconds, think_seconds, rate_per_second: rate, users } = given;
  if ((rate === undefined) === (users === undefined)) {
    const rule = 'must have one of rate_per_second (open model) and users (closed model)';
    addProblem(problems, path, rule);
    return undefined;
  }
  if (users === undefined && think_seconds !== undefined) {
    addProblem(problems, join(path, 'think_seconds'), 'is for users, and this phase has none');
  }
  const shape = shapeOf(kind, rate ?? users);
  const durationMs = duration_seconds * 1000;
  if (shape.kind === 'spike' && shape.peakAfterMs + shape.peakMs > durationMs) {
    const at = join(join(path, users === undefined ? 'rate_per_second' : 'users'), 'peak_seconds');
    addProblem(problems, at, 'must end within duration_seconds');
  }
  return {
    name: name ?? `${index + 1} ${kind}`,
    kind,
    model: users === undefined ? 'open' : 'closed',
    durationMs,
    plan: planOf(shape, durationMs),
    thinkMs: (think_seconds ?? 0) * 1000,
  };
}

/** The schema of the kind has checked the level. */
function shapeOf(kind: PhaseKind, level: unknown): Shape {
  switch (kind) {
    case 'ramp':
      return { kind, ...(level as { from: number; to: number }) };
    case 'step':
      return { kind, levels: level as readonly number[] };
    case 'spike': {
      const { base, peak, peak_after_seconds, peak_seconds } = level as Record<string, number>;
      return {
        kind,
        base: base ?? 0,
        peak: peak ?? 0,
        peakAfterMs: (peak_after_seconds ?? 0) * 1000,
        peakMs: (peak_seconds ?? 0) * 1000,
      };
    }
    default:
      return { kind, level: level as number };
  }
}

/** `timeoutMs` is that of steps without one of their own. */
export function flowOf(
  value: unknown,
  index: number,
  timeoutMs: number,
  problems: ScenarioProblems,
): Flow | undefined {
  const path = join('operations', index);
  if (isMembers(value) && value['do'] !== undefined) {
    const { weight, ...rest } = value;
    const isWeight = weight === undefined || (typeof weight === 'number' && weight > 0);
    if (!isWeight) addProblem(problems, join(path, 'weight'), 'must be a number more than 0');
    const step = stepOf(rest, path, timeoutMs, problems);
    if (step === undefined || !isWeight) return undefined;
    return { name: step.name, weight: weight ?? 1, steps: [step] };
  }
  if (!checkShape(FLOW_SCHEMA, value, path, problems)) return undefined;
  const { name, weight = 1, steps } = value as { name: string; weight?: number; steps: unknown[] };
  const made = steps.map((step, at) =>
    stepOf(step, join(join(path, 'steps'), at), timeoutMs, problems),
  );
  if (made.some((step) => step === undefined)) return undefined;
  return { name, weight, steps: made.flatMap((step) => step ?? []) };
}

function stepOf(
  value: unknown,
  path: string,
  timeoutMs: number,
  problems: ScenarioProblems,
): Step | undefined {
  const members = chosen(STEP_SCHEMAS, 'do', value, path, problems);
  if (members === undefined) return undefined;
  const { name, timeout_seconds } = members as { name?: string; timeout_seconds?: number };
  const given = timeout_seconds === undefined ? timeoutMs : timeout_seconds * 1000;
  return { ...members, name: name ?? (members['do'] as StepWord), timeoutMs: given } as Step;
}

/** A text is a condition without anything else. */
export function thresholdOf(
  value: unknown,
  path: string,
  problems: ScenarioProblems,
): Threshold | undefined {
  const given = typeof value === 'string' ? { condition: value } : value;
  if (!checkShape(THRESHOLD_SCHEMA, given, path, problems)) return undefined;
  const { condition, abort, after_seconds } = given as {
    condition: string;
    abort?: boolean;
    after_seconds?: number;
  };
  if (abort !== true && after_seconds !== undefined) {
    addProblem(problems, join(path, 'after_seconds'), 'is for thresholds with abort: true');
  }
  try {
    return {
      condition: parseCondition(condition),
      abort: abort ?? false,
      afterMs: after_seconds === undefined ? ABORT_AFTER_MS : after_seconds * 1000,
    };
  } catch (error) {
    if (!(error instanceof ConditionError)) throw error;
    addProblem(problems, path, error.message);
    return undefined;
  }
}
