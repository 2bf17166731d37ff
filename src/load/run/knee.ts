// load, run: the tries of a search for the highest rate: each is a phase of a constant rate with the operations of the scenario.

import { planOf } from '../arrivals/plan.ts';
import type { KneeReport, KneeTry, PhaseReport } from '../report/run-report.ts';
import { type Condition, holds, measured, valueText } from '../scenario/condition.ts';
import type { Phase, Scenario } from '../scenario/scenario.ts';
import { TOTAL } from '../scenario/scenario-rules.ts';
import { findKnee, type TryResult } from './knee-search.ts';
import type { KneeOptions } from './run-options.ts';

/** A rate of which more than this share failed, was refused or was skipped was not reached, whatever the condition says. */
const NOT_DONE_SHARE_MAX = 0.01;

/** What the search needs of a run. */
export interface KneeWork {
  /** Runs the phases. Resolves with what makes its figures doubtful. */
  round(scenario: Scenario): Promise<readonly string[]>;
  phaseReport(name: string): PhaseReport | undefined;
  afterTry(): Promise<void>;
  isOver(): boolean;
  note(note: string): void;
}

export async function searchKnee(
  options: KneeOptions,
  scenario: Scenario,
  work: KneeWork,
): Promise<KneeReport> {
  const tries: KneeTry[] = [];
  const { condition } = options;
  const found = await findKnee(options, async (ratePerSecond) => {
    if (work.isOver()) return 'unsure';
    const phase = tryPhase(tries.length + 1, ratePerSecond, options.trySeconds);
    const doubts = await work.round({ ...scenario, phases: [phase], thresholds: [] });
    const report = work.phaseReport(phase.name);
    const value = report === undefined ? null : measured(condition, operationOf(report, condition));
    const reason = doubts[0] ?? failureOf(condition, value, report);
    const held = reason === null;
    tries.push({ phase: phase.name, ratePerSecond, held, value, unit: condition.unit, reason });
    work.note(
      `${ratePerSecond}/s ${held ? 'held' : 'did not hold'}: ${reason ?? valueText(value, condition.unit)}`,
    );
    await work.afterTry();
    const result: TryResult = held ? 'held' : 'failed';
    return work.isOver() || doubts.length > 0 ? 'unsure' : result;
  });
  return { condition: condition.text, ...found, tries };
}

function tryPhase(number: number, ratePerSecond: number, trySeconds: number): Phase {
  const durationMs = trySeconds * 1000;
  return {
    name: `try ${number}: ${ratePerSecond}/s`,
    kind: 'constant',
    model: 'open',
    durationMs,
    plan: planOf({ kind: 'constant', level: ratePerSecond }, durationMs),
    thinkMs: 0,
  };
}

function operationOf({ total, operations }: PhaseReport, { operation }: Condition) {
  return operation === TOTAL ? total : operations.find(({ name }) => name === operation);
}

/** null: the condition held, at the rate that was asked for. */
function failureOf(
  condition: Condition,
  value: number | null,
  report: PhaseReport | undefined,
): string | null {
  if (!holds(condition, value)) return valueText(value, condition.unit);
  if (report === undefined) return valueText(null, condition.unit);
  const { count, errors, refusals, skipped } = report.total;
  const notDone = errors.total + refusals.total + skipped.total;
  const share = notDone / Math.max(1, count + skipped.total);
  if (share <= NOT_DONE_SHARE_MAX) return null;
  const what = `${errors.total} failed, ${refusals.total} were refused, ${skipped.total} were skipped`;
  return `the rate was not reached: of ${count + skipped.total} operations ${what}`;
}
