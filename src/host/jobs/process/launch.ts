// jobs, process: launches a hypervisor: run directory, cgroup, sandbox, then the process with its tap. Which command is run
// is decided by the engine and its driver.

import { constants } from 'node:os';
import { bootId } from '../../../lib/clock.ts';
import { failPoints } from '../../../lib/fail-points.ts';
import { JobFault } from '../fault.ts';
import { native } from '../native.ts';
import { bridgeOfTap, isAboutTap, tapFault } from '../network/network.ts';
import type { HostSettings, JobArgument, LaunchedProcess } from '../protocol.ts';
import { LAUNCH_ENVIRONMENT } from '../run-program.ts';
import { makeCgroup } from './cgroup.ts';
import { setCpuShare } from './cpu-weight.ts';
import { preferForOom } from './oom.ts';
import { claimRunDirectory, makeRunDirectory } from './run-directory.ts';
import { makeSandbox } from './sandbox-files.ts';

/**
 * Launches it. Throws HYPERVISOR_MISSING, HOST_PERMISSION, CAPACITY_EXHAUSTED, HOST_OPERATION_FAILED. After an error
 * no process is left; the caller removes the rest.
 */
export function launch({
  settings,
  request,
  bridgeNumber,
}: JobArgument<'launch'>): LaunchedProcess {
  const pass = failPoints(settings.failPoint);
  makeRunDirectory(request.workingDirectory);
  claimRunDirectory(request.workingDirectory, settings.homeId);
  pass('launch:run-directory');
  const cgroup = makeCgroup(settings.hostTag, request.cgroup);
  pass('launch:cgroup');
  const tap = request.tap && tapOf(settings, request, request.tap, bridgeNumber);
  const { pid, startTimeTicks, pidfd, cgroupErrno } = launchProcess(settings, request, cgroup, tap);
  try {
    pass('launch:process');
    preferForOom(pid);
    if (request.boots) setCpuShare(settings.hostTag, request.cgroup.name, pid, 'boots');
  } catch (error) {
    // Otherwise the process would run without an owner.
    native.pidfdSignal(pidfd, constants.signals.SIGKILL);
    native.closeFd(pidfd);
    throw error;
  }
  return {
    identity: { pid, startTimeTicks, bootId: bootId() },
    pidfd,
    withoutLimits: cgroup.withoutLimits ?? (cgroupErrno === 0 ? null : `errno ${cgroupErrno}`),
  };
}

type Request = JobArgument<'launch'>['request'];
type TapOptions = Parameters<typeof native.launch>[0]['tap'];

function tapOf(
  settings: HostSettings,
  { sandbox }: Request,
  tap: NonNullable<Request['tap']>,
  bridgeNumber: number,
): TapOptions {
  const bridge = bridgeOfTap(settings, tap, bridgeNumber);
  return { name: tap.guest.tapName, bridge, owner: sandbox?.uid ?? 0 };
}

/** Errors of a step that the daemon may not do, or that this kernel does not support. */
const FORBIDDEN = ['EPERM', 'EACCES', 'ENOSYS', 'EINVAL'];

function launchProcess(
  settings: HostSettings,
  request: Request,
  cgroup: ReturnType<typeof makeCgroup>,
  tap: TapOptions,
) {
  const { executable, sandbox } =
    request.sandbox === null
      ? { executable: request.executable, sandbox: null }
      : makeSandbox(settings, request, request.sandbox);
  try {
    return native.launch({
      file: executable,
      argv: [request.executable, ...request.argv],
      env: LAUNCH_ENVIRONMENT,
      cwd: request.workingDirectory,
      logPath: request.logPath,
      cgroupProcsPath: cgroup.procs,
      tap,
      controlPath: request.controlPath,
      sandbox,
      hugePages: request.hugePages,
    });
  } catch (error) {
    if (isAboutTap(error)) throw tapFault(error, tap?.bridge ?? '');
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (syscall === 'execve') {
      const message = `The hypervisor ${request.executable} cannot be executed (${code})`;
      throw new JobFault('HYPERVISOR_MISSING', message, error);
    }
    if (sandbox !== null && syscall === 'setrlimit') {
      const remedy = 'start volantd with LimitMEMLOCK=infinity (ulimit -l unlimited)';
      const message = `The hypervisor may not lock the memory of its guest, which devices need: ${remedy}`;
      throw new JobFault('HOST_PERMISSION', message, error);
    }
    if (sandbox !== null && FORBIDDEN.includes(code ?? '')) {
      const remedy = 'run volantd as root with all capabilities, or choose VOLANT_ISOLATION=off';
      const message = `Hypervisors cannot be isolated here (${syscall}: ${code}): ${remedy}`;
      throw new JobFault('HOST_PERMISSION', message, error);
    }
    throw error;
  }
}
