// jobs, process: tries KVM once with a guest that has no root file system, so that its kernel panics soon. Some hosts
// answer every KVM request and still hang any ordinary kernel. The caller decides when a trial is repeated.

import type { KnownTrials } from '../../../engine/ports/process-ports.ts';
import type { KvmTrial } from '../../../engine/records.ts';
import { spawnProgram } from '../run-program.ts';

const OUTPUT_CHARACTERS_MAX = 200;

export interface KvmTrialSubject {
  readonly executable: string;
  /** Its arguments, with the kernel of the guest. */
  readonly argv: readonly string[];
  readonly timeoutMs: number;
}

/**
 * Returns the known trial, or a new one when there is none or it may be repeated. A trial that succeeded is not
 * repeated.
 */
export function trialOf(
  key: string,
  { trials, mayTryAgain, nowMs }: KnownTrials,
  tryNow: () => Pick<KvmTrial, 'result' | 'reason'>,
): KvmTrial {
  const before = trials[key];
  if (before !== undefined && (before.result === 'works' || !mayTryAgain)) return before;
  const { result, reason } = tryNow();
  const tries = before?.result === result ? before.tries + 1 : 1;
  return { result, reason, triedAtMs: nowMs, tries };
}

/** Boots the guest and waits until it panics, ends otherwise, or exceeds the timeout. Blocks. */
export function tryKvm(subject: KvmTrialSubject): Pick<KvmTrial, 'result' | 'reason'> {
  const { executable, argv, timeoutMs } = subject;
  const { stdout, stderr, error, status, signal } = spawnProgram(executable, argv, {
    timeoutMs,
  });
  if (stdout?.includes('Kernel panic')) {
    return { result: 'works', reason: 'A canary guest booted under KVM' };
  }
  const said = lastLineOf(stderr) ?? lastLineOf(stdout);
  const words = said === null ? '' : `: ${said}`;
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT') {
    const seconds = Math.round(timeoutMs / 1000);
    const reason = `A canary guest did not boot under KVM in ${seconds} s${words}`;
    return { result: 'timed-out', reason };
  }
  const how = error?.message ?? (signal === null ? `status ${status}` : signal);
  return { result: 'failed', reason: `A canary guest ended under KVM (${how})${words}` };
}

function lastLineOf(output: string | null): string | null {
  const lines = (output ?? '').split(/[\r\n]+/).map((line) => line.trim());
  return lines.findLast((line) => line !== '')?.slice(0, OUTPUT_CHARACTERS_MAX) ?? null;
}
