// engine, guests: what an agent reports about a workload, as a sentence, as part of the VM's body, and as a condition.
// Pure.

import type { VmWorkload } from '../../schema/vm.ts';
import type { WorkloadHealth } from '../ports/hypervisor-ports.ts';

/** From this many restarts on, a workload counts as crash-looping. */
const LOOP_RESTARTS = 3;

/** The maximum length of output in details. */
const LINES_CHARACTERS_MAX = 400;

/** Whether a workload runs, for a condition of its VM. */
export interface WorkloadVerdict {
  readonly isRunning: boolean;
  readonly reason: string;
  readonly message: string;
}

/** A problem of the workload as a sentence; null for none. */
export function workloadProblem({
  state,
  restarts,
  lastExit,
  reason,
}: Pick<WorkloadHealth, 'state' | 'restarts' | 'lastExit' | 'reason'>): string | null {
  if (state === 'failed') return `The workload cannot run: ${reason || lastExit}`;
  if (reason === '') return null;
  return restarts > 0
    ? `The workload was restarted ${restarts} times: ${reason}`
    : `The workload: ${reason}`;
}

/** The workload as a part of the VM's body. */
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
 * The verdict; null if the previous one still holds. It leaves out the number of restarts, because it would change with
 * each restart.
 */
export function workloadVerdict({
  state,
  restarts,
  lastExit,
  lastLines,
  reason,
}: WorkloadHealth): WorkloadVerdict | null {
  const lastLine = lastLines.at(-1);
  const last = lastLine === undefined ? '' : `; last output: ${lastLine}`;
  if (state === 'failed') {
    const message = `The workload cannot run: ${reason || lastExit}`;
    return { isRunning: false, reason: 'CannotRun', message };
  }
  if (restarts >= LOOP_RESTARTS && reason !== '') {
    const message = `The workload ends repeatedly: ${reason}${last}`;
    return { isRunning: false, reason: 'CrashLoop', message };
  }
  if (state === 'backoff') {
    const message = `The workload has ended and is being restarted: ${reason || lastExit}${last}`;
    return { isRunning: false, reason: 'Ended', message };
  }
  // After an end, a workload counts as running once it has run for a while, so that each end of a loop is not a change.
  if (restarts > 0 && reason !== '') return null;
  return state === 'running' ? { isRunning: true, reason: 'Runs', message: '' } : null;
}

/** Why a running VM is not ready; null if no problem is known. */
export function unreadyReason(workload: VmWorkload | undefined): string | null {
  if (workload === undefined) return null;
  const { state, restarts, reason = '', last_exit = '', check_failure = '' } = workload;
  const problem = workloadProblem({ state, restarts, reason, lastExit: last_exit });
  if (problem !== null) return problem;
  if (check_failure === '') return null;
  return `The health check of the workload fails: ${check_failure}`;
}

/** The workload as details of an error, for programs. */
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
