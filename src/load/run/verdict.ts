// load, run: whether the figures of a run can be believed, and whether its thresholds held.

import type {
  GeneratorLimits,
  GeneratorProcessReport,
  OperationReport,
  PhaseReport,
  ThresholdReport,
  Verdict,
} from '../report/run-report.ts';
import { holds, measured, valueText } from '../scenario/condition.ts';
import type { Threshold } from '../scenario/scenario.ts';
import { TOTAL } from '../scenario/scenario-rules.ts';

/** What thresholds are compared with. */
export interface Measured {
  readonly total: OperationReport;
  readonly operations: readonly OperationReport[];
  readonly phases: readonly PhaseReport[];
}

export function judged({ condition, abort }: Threshold, all: Measured): ThresholdReport {
  const { text, phase, operation, bound, unit } = condition;
  const ofPhase = all.phases.find(({ name }) => name === phase);
  const { total, operations } = phase === undefined ? all : (ofPhase ?? { ...all, operations: [] });
  const found = operation === TOTAL ? total : operations.find(({ name }) => name === operation);
  const value = measured(condition, found);
  return { condition: text, abort, held: holds(condition, value), value, bound, unit };
}

export function breachText({ condition, value, unit }: ThresholdReport): string {
  return `${condition} did not hold: ${valueText(value, unit)}`;
}

/** Why the generator itself cannot be believed, as sentences; empty: it had time for its work. */
export function generatorProblems(
  processes: readonly GeneratorProcessReport[],
  lateMsMax: number,
  limits: GeneratorLimits,
): string[] {
  const starts = sum(processes.map((one) => one.starts));
  const late = sum(processes.map((one) => one.lateStarts));
  const problems: string[] = [];
  if (starts > 0 && late / starts > limits.lateShareMax) {
    const share = valueText(late / starts, 'share');
    const most = valueText(limits.lateShareMax, 'share');
    problems.push(
      `The generator was late: ${share} of its starts came more than ${limits.lateMs} ms after their time (the latest ${Math.round(lateMsMax)} ms), and ${most} may`,
    );
  }
  for (const one of processes) {
    const { index, loopDelayP99Ms, stalledMs, measuredMs, cpuShareMax, wantedShareMax } = one;
    if (stalledMs / measuredMs > limits.lateShareMax) {
      const share = valueText(stalledMs / measuredMs, 'share');
      const most = valueText(limits.lateShareMax, 'share');
      problems.push(
        `Generator process ${index} stalled: in ${share} of the time it could have started nothing within ${limits.lateMs} ms, and ${most} may be`,
      );
    }
    if (loopDelayP99Ms > limits.loopDelayMsMax) {
      problems.push(
        `Generator process ${index} was slow: its event loop was delayed by ${Math.round(loopDelayP99Ms)} ms (p99), and ${limits.loopDelayMsMax} ms may be`,
      );
    }
    if (cpuShareMax > limits.cpuShareMax) {
      const most = valueText(limits.cpuShareMax, 'share');
      problems.push(
        `Generator process ${index} was saturated: it used ${valueText(cpuShareMax, 'share')} of a processor, and ${most} may be; use more --processes`,
      );
    } else if (wantedShareMax !== null && wantedShareMax > limits.cpuShareMax) {
      const most = valueText(limits.cpuShareMax, 'share');
      problems.push(
        `Generator process ${index} was starved: for ${valueText(wantedShareMax, 'share')} of the time it ran or waited for a processor, and ${most} may be; other programs or a quota keep it from it`,
      );
    }
  }
  return problems;
}

/**
 * Why the figures do not show the load that was asked for: starts of the open model that were not made have no latency, and they
 * would have had the longest.
 */
export function skipProblems(phases: readonly PhaseReport[], limits: GeneratorLimits): string[] {
  return phases.flatMap(({ name, model, total: { count, skipped } }) => {
    const share = skipped.total / Math.max(1, count + skipped.total);
    if (model === 'closed' || share <= limits.skippedShareMax) return [];
    const why = Object.keys(skipped.byCode).map((code) => SKIP_REASONS[code] ?? code);
    return [
      `Of the starts of the phase ${name} ${valueText(share, 'share')} were skipped (${why.join('; ')}), and ${valueText(limits.skippedShareMax, 'share')} may be: the latency lacks them`,
    ];
  });
}

const SKIP_REASONS: Readonly<Record<string, string>> = {
  IN_FLIGHT: 'max_in_flight operations were running',
  NOTHING_FREE: 'every VM or deployment of the setup was in use',
};

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0);
}

export interface Ends {
  readonly isInterrupted: boolean;
  /** Why the figures cannot be believed. */
  readonly invalid: readonly string[];
  /** The threshold whose breach ended the run. */
  readonly abortedBy: ThresholdReport | undefined;
  /** What did not hold. */
  readonly failed: readonly string[];
}

/** Of several verdicts the one that takes most from the others. All reasons are reported. */
export function verdictOf({ isInterrupted, invalid, abortedBy, failed }: Ends): {
  verdict: Verdict;
  reasons: string[];
} {
  const aborted =
    abortedBy === undefined ? [] : [`The run was ended, because ${breachText(abortedBy)}`];
  const interrupted = isInterrupted ? ['The run was interrupted'] : [];
  const reasons = [...interrupted, ...invalid, ...aborted, ...failed];
  if (isInterrupted) return { verdict: 'interrupted', reasons };
  if (invalid.length > 0) return { verdict: 'invalid', reasons };
  if (abortedBy !== undefined) return { verdict: 'aborted', reasons };
  return { verdict: failed.length > 0 ? 'failed' : 'passed', reasons };
}
