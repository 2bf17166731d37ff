// workers, job: which hypervisor there is, and whether KVM truly works. Some hosts answer every KVM
// request and still hang any ordinary kernel, so a canary guest is booted once for each kernel.

import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { release } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LIMITS } from '../../config.ts';
import type { HypervisorFacts, KnownTrials } from '../../engine/ports.ts';
import type { KvmTrial } from '../../engine/records.ts';
import { type QemuVersion, qemuVersion } from '../../hypervisor/qemu-versions.ts';
import { native } from '../native.ts';
import type { HostSettings, JobArgument, JobResult } from '../protocol.ts';
import { JobFault } from './fault.ts';
import { trialOf, tryKvm } from './kvm-trial.ts';
import { findKernel } from './media.ts';

const QEMU = 'qemu-system-x86_64';
const VERSION_TIMEOUT_MS = 10_000;
const TSC_SAMPLE_MS = 100;

export function probeHypervisor({
  settings,
  known,
}: JobArgument<'probeHypervisor'>): JobResult<'probeHypervisor'> {
  const kvmTrials = known.trials;
  if (settings.hypervisor === 'simulator') return { facts: probeSimulator(), kvmTrials };
  const executable = findQemu(settings);
  const version = versionOf(executable);
  const dataDirectories = dataDirectoriesOf(executable);
  requireFirmware(qemuVersion(version), executable, dataDirectories);
  const chosen = chooseAccelerator(settings, executable, version, known);
  const trial = chosen.trial ?? null;
  const facts: HypervisorFacts = {
    driver: 'qemu',
    executable,
    version,
    accelerator: chosen.works ? 'kvm' : 'tcg',
    reason: chosen.reason,
    kvmTrial: trial,
    tscKhz: native.tscKhz(TSC_SAMPLE_MS),
    vhostVsock: existsSync('/dev/vhost-vsock'),
    dataDirectories,
  };
  // What other kernels and hypervisors came to is of no use any more.
  return { facts, kvmTrials: trial === null ? kvmTrials : { [chosen.key]: trial } };
}

function probeSimulator(): HypervisorFacts {
  const roots = ['../../../', '../../../../'].map((up) =>
    fileURLToPath(new URL(up, import.meta.url)),
  );
  const candidates = roots.map((root) => join(root, 'build/simulator/simulator'));
  const executable = candidates.find(isExecutable);
  if (executable === undefined) {
    throw new JobFault(
      'HYPERVISOR_MISSING',
      'The simulator is not built: run `npm run build` or `volantd setup`',
    );
  }
  return {
    driver: 'simulator',
    executable,
    version: versionOf(executable),
    accelerator: 'none',
    reason: 'The simulator boots no guests',
    kvmTrial: null,
    tscKhz: 0,
    vhostVsock: false,
    dataDirectories: [],
  };
}

function findQemu({ hypervisor }: HostSettings): string {
  if (typeof hypervisor === 'object') {
    if (isExecutable(hypervisor.path)) return hypervisor.path;
    const message = `${hypervisor.path} (VOLANT_HYPERVISOR) cannot be executed`;
    throw new JobFault('HYPERVISOR_MISSING', message);
  }
  const directories = [...(process.env['PATH'] ?? '').split(':'), '/usr/local/bin', '/usr/bin'];
  const found = directories.map((directory) => join(directory, QEMU)).find(isExecutable);
  if (found !== undefined) return found;
  const remedy = 'install the package qemu-system-x86, or run `npm run setup` or `volantd setup`';
  throw new JobFault('HYPERVISOR_MISSING', `${QEMU} is not installed: ${remedy}`);
}

function versionOf(executable: string): string {
  return /version (\S+)/.exec(outputOf(executable, ['--version']))?.[1] ?? 'unknown';
}

/** As QEMU lists them itself; those that do not exist are left out. */
function dataDirectoriesOf(executable: string): readonly string[] {
  const lines = outputOf(executable, ['-L', 'help']).split('\n');
  return lines
    .filter((line) => line.startsWith('/'))
    .map((line) => resolve(line))
    .filter((directory) => existsSync(directory));
}

function outputOf(executable: string, args: readonly string[]): string {
  try {
    return execFileSync(executable, args, {
      encoding: 'utf8',
      timeout: VERSION_TIMEOUT_MS,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch (error) {
    const message = `${executable} fails when it is asked for ${args.join(' ')}: VOLANT_HYPERVISOR must name a QEMU that runs on this host`;
    throw new JobFault('HYPERVISOR_FAILED', message, error);
  }
}

/** Without its firmware QEMU ends at once, or a guest waits for ever: every file is looked for before the first launch. */
function requireFirmware(
  { firmware, firmwarePackages }: QemuVersion,
  executable: string,
  directories: readonly string[],
): void {
  const isThere = (file: string) => directories.some((path) => existsSync(join(path, file)));
  const missing = Object.values(firmware).filter((file) => !isThere(file));
  if (missing.length === 0) return;
  const packages = missing.map((file) => firmwarePackages[file] ?? 'qemu-system-data');
  throw new JobFault(
    'HYPERVISOR_MISSING',
    `${executable} lacks its firmware ${missing.join(' and ')} (looked in ${directories.join(', ')}): install the package ${packages.join(' and ')}`,
  );
}

interface Choice {
  readonly works: boolean;
  readonly reason: string;
  /** What was tried; empty where nothing was. */
  readonly key: string;
  readonly trial?: KvmTrial;
}

function chooseAccelerator(
  settings: HostSettings,
  executable: string,
  version: string,
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
  const { firmware } = qemuVersion(version);
  const timeoutMs = LIMITS.kvmCanaryTimeoutMs;
  const trial = trialOf(key, known, () =>
    tryKvm({ executable, firmware: firmware.microvm, kernel, timeoutMs }),
  );
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
