// jobs, process: finds the hypervisor of this host, and whether KVM works. Some hosts answer every KVM request and
// still hang any ordinary kernel, so a canary guest is booted once for each kernel; see kvm-trial.ts.

import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { driverOf } from '../../../config/drivers.ts';
import { LIMITS } from '../../../config/limits.ts';
import type { KnownTrials } from '../../../engine/ports/process-ports.ts';
import type { KvmTrial } from '../../../engine/records.ts';
import type { Canary, DriverHost } from '../../../hypervisor/drivers/driver.ts';
import { DRIVERS } from '../../../hypervisor/drivers/drivers.ts';
import { packageFile } from '../../../lib/files/own-files.ts';
import { JobFault } from '../fault.ts';
import { findKernel } from '../media/boot-media.ts';
import { native } from '../native.ts';
import type { HostSettings, JobArgument, JobResult } from '../protocol.ts';
import { spawnProgram } from '../run-program.ts';
import { trialOf, tryKvm } from './kvm-trial.ts';

const TSC_SAMPLE_MS = 100;

/**
 * Returns the facts about the hypervisor. Throws HYPERVISOR_MISSING, HYPERVISOR_FAILED, HOST_PERMISSION,
 * KERNEL_MISSING.
 */
export function probeHypervisor({
  settings,
  known,
}: JobArgument<'probeHypervisor'>): JobResult<'probeHypervisor'> {
  let kvmTrials = known.trials;
  const host: DriverHost = {
    choice: settings.hypervisor,
    find,
    isExecutable,
    exists: existsSync,
    findBuilt,
    outputOf,
    chooseAccelerator: (canary) => {
      const { works, reason, key, trial } = chooseAccelerator(settings, canary, known);
      // Trials of other kernels and hypervisors are of no use any more.
      if (trial !== undefined) kvmTrials = { [key]: trial };
      return { accelerator: works ? 'kvm' : 'tcg', reason, kvmTrial: trial ?? null };
    },
    tscKhz: () => native.tscKhz(TSC_SAMPLE_MS),
  };
  const facts = DRIVERS[driverOf(settings.hypervisor)].facts(host);
  return { facts, kvmTrials };
}

function find(program: string): string | null {
  const directories = [...(process.env['PATH'] ?? '').split(':'), '/usr/local/bin', '/usr/bin'];
  return directories.map((directory) => join(directory, program)).find(isExecutable) ?? null;
}

function findBuilt(path: string): string | null {
  const built = packageFile(path);
  return isExecutable(built) ? built : null;
}

function outputOf(executable: string, args: readonly string[]): string {
  const { error, status, signal, stdout, stderr } = spawnProgram(executable, args);
  if (error === undefined && status === 0) return stdout;
  const message = `${executable} fails when it is asked for ${args.join(' ')}: VOLANT_HYPERVISOR must name a QEMU that runs on this host`;
  const cause = error ?? new Error(`it ended with ${signal ?? `status ${status}`}: ${stderr}`);
  throw new JobFault('HYPERVISOR_FAILED', message, cause);
}

interface Choice {
  readonly works: boolean;
  readonly reason: string;
  /** The key of the trial; empty when none was needed. */
  readonly key: string;
  readonly trial?: KvmTrial;
}

function chooseAccelerator(
  settings: HostSettings,
  { executable, version, argv }: Canary,
  known: KnownTrials,
): Choice {
  const no = (reason: string) => ({ works: false, reason, key: '' });
  if (settings.accelerator === 'tcg') return no('VOLANT_ACCELERATOR says tcg');
  const openable = canOpenKvm();
  if (settings.accelerator === 'kvm') {
    if (openable) return { works: true, reason: 'VOLANT_ACCELERATOR says kvm', key: '' };
    const remedy = 'load kvm-intel or kvm-amd, or set VOLANT_ACCELERATOR=auto';
    throw new JobFault('HOST_PERMISSION', `/dev/kvm cannot be opened: ${remedy}`);
  }
  if (!/\b(svm|vmx)\b/.test(readFileSync('/proc/cpuinfo', 'utf8'))) {
    return no('The CPU shows neither svm nor vmx, so KVM cannot run ordinary kernels');
  }
  if (!openable) return no('/dev/kvm cannot be opened');
  const kernel = findKernel({ settings }).realPath;
  const { size, mtimeMs } = statSync(kernel);
  const key = [release(), executable, version, kernel, size, Math.round(mtimeMs)].join(' ');
  const timeoutMs = LIMITS.kvmCanaryTimeoutMs;
  const trial = trialOf(key, known, () => tryKvm({ executable, argv: argv(kernel), timeoutMs }));
  return { works: trial.result === 'works', reason: trial.reason, key, trial };
}

function canOpenKvm(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
