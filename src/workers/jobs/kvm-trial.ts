// workers, job: one trial of KVM: a guest without a root file system, whose kernel panics soon. Some hosts answer every
// KVM request and still hang any ordinary kernel. When one may be repeated is its caller's business.

import { spawnSync } from 'node:child_process';
import type { KnownTrials } from '../../engine/ports.ts';
import type { KvmTrial } from '../../engine/records.ts';

const MEMORY_MB = 128;
const WORDS_CHARACTERS_MAX = 200;

export interface KvmTrialSubject {
  readonly executable: string;
  readonly firmware: string;
  readonly kernel: string;
  readonly timeoutMs: number;
}

/** The known trial, or a new one where there is none or it may be repeated. One that worked stands. */
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

/** Boots the guest and waits until it has panicked, has ended without, or has had its time. Blocks. */
export function tryKvm(subject: KvmTrialSubject): Pick<KvmTrial, 'result' | 'reason'> {
  const { executable, timeoutMs } = subject;
  const { stdout, stderr, error, status, signal } = spawnSync(executable, argvOf(subject), {
    encoding: 'latin1',
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // With panic=-1 and -no-reboot a guest that has panicked ends its hypervisor.
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

function argvOf({ firmware, kernel }: KvmTrialSubject): readonly string[] {
  const machine = ['-M', 'microvm,acpi=on,x-option-roms=off', '-bios', firmware];
  const plain = ['-nodefaults', '-no-user-config', '-nographic', '-no-reboot', '-serial', 'stdio'];
  const guest = ['-m', String(MEMORY_MB), '-kernel', kernel];
  const append = ['-append', 'console=ttyS0 reboot=t panic=-1'];
  return [...machine, '-accel', 'kvm', '-cpu', 'host', ...plain, ...guest, ...append];
}

function lastLineOf(output: string | null): string | null {
  const lines = (output ?? '').split(/[\r\n]+/).map((line) => line.trim());
  return lines.findLast((line) => line !== '')?.slice(0, WORDS_CHARACTERS_MAX) ?? null;
}
