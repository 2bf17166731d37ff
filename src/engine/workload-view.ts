// engine: what is said of a workload, made of what its agent tells: a sentence, the part of the VM's body, its condition.
// Pure.

import type { VmWorkload } from '../schema/vm.ts';
import type { WorkloadHealth } from './ports.ts';

/** So often it was started again when it is said to crash again and again. */
const LOOP_RESTARTS = 3;

/** In details and conditions: a text that an answer can carry. */
const LINES_CHARACTERS_MAX = 400;

/** Whether a workload is as it should be, for a condition of its VM. */
export interface WorkloadVerdict {
  readonly isRunning: boolean;
  readonly reason: string;
  readonly message: string;
}

/** A sentence for a person; null when the workload is as it should be, as far as its agent knows. */
export function workloadTrouble({
  state,
  restarts,
  lastExit,
  reason,
}: Pick<WorkloadHealth, 'state' | 'restarts' | 'lastExit' | 'reason'>): string | null {
  if (state === 'failed') return `The workload cannot run: ${reason || lastExit}`;
  if (reason === '') return null;
  return restarts > 0
    ? `The workload was started again ${restarts} times: ${reason}`
    : `The workload: ${reason}`;
}

/** The part of a VM's body. */
export function workloadBody(workload: WorkloadHealth): VmWorkload {
  const { exitCode, exitSignal, lastLines, reason, check, checkFailure } = workload;
  return {
    state: workload.state,
    healthy: workload.healthy,
    ...(check === '' ? {} : { check }),
    ...(checkFailure === '' ? {} : { check_failure: checkFailure }),
    restarts: workload.restarts,
    ...(workload.lastExit === '' ? {} : { last_exit: workload.lastExit }),
    ...(exitCode === null ? {} : { exit_code: exitCode }),
    ...(exitSignal === null ? {} : { exit_signal: exitSignal }),
    ...(lastLines.length === 0 ? {} : { last_lines: [...lastLines] }),
    ...(reason === '' ? {} : { reason }),
  };
}

/**
 * null: what was said before still holds. How often it was started again is not part of it, since it would change with
 * each start.
 */
export function workloadVerdict({
  state,
  restarts,
  lastExit,
  lastLines,
  reason,
}: WorkloadHealth): WorkloadVerdict | null {
  const said = lastLines.at(-1);
  const last = said === undefined ? '' : `; it wrote last: ${said}`;
  if (state === 'failed') {
    const message = `The workload cannot run: ${reason || lastExit}`;
    return { isRunning: false, reason: 'CannotRun', message };
  }
  if (restarts >= LOOP_RESTARTS && reason !== '') {
    const message = `The workload ends again and again: ${reason}${last}`;
    return { isRunning: false, reason: 'CrashLoop', message };
  }
  if (state === 'backoff') {
    const message = `The workload has ended and is started again: ${reason || lastExit}${last}`;
    return { isRunning: false, reason: 'Ended', message };
  }
  // After an end it counts as running when it has run for a while: what ends again and again is not told each time.
  if (restarts > 0 && reason !== '') return null;
  return state === 'running' ? { isRunning: true, reason: 'Runs', message: '' } : null;
}

/** Why a VM that runs is not ready; null: nothing is known to be wrong. */
export function unreadyReason(workload: VmWorkload | undefined): string | null {
  if (workload === undefined) return null;
  const { state, restarts, reason = '', last_exit = '', check_failure = '' } = workload;
  const trouble = workloadTrouble({ state, restarts, reason, lastExit: last_exit });
  if (trouble !== null) return trouble;
  if (check_failure === '') return null;
  return `The check of the workload does not pass: ${check_failure}`;
}

/** For programs, beside the sentence of an error. */
export function workloadDetails(workload: VmWorkload | undefined): Record<string, string> {
  if (workload === undefined) return {};
  const { state, restarts, last_exit, last_lines = [], check_failure } = workload;
  const lines = last_lines.join('\n').slice(-LINES_CHARACTERS_MAX);
  return {
    'workload.state': state,
    'workload.restarts': String(restarts),
    ...(last_exit === undefined ? {} : { 'workload.last_exit': last_exit }),
    ...(lines === '' ? {} : { 'workload.last_lines': lines }),
    ...(check_failure === undefined ? {} : { 'workload.check_failure': check_failure }),
  };
}
