// workers, job: launching a hypervisor.

import { constants } from 'node:os';
import { failPoints } from '../../lib/fail-points.ts';
import { native } from '../native.ts';
import type { HostSettings, JobArgument, LaunchedProcess } from '../protocol.ts';
import { makeCgroup } from './cgroup.ts';
import { setCpuShare } from './cpu-weight.ts';
import { JobFault } from './fault.ts';
import { attachTap } from './network.ts';
import { offerToOom } from './oom.ts';
import { bootId } from './process-facts.ts';
import { claimRunDirectory, makeRunDirectory } from './run-directory.ts';
import { makeSandbox } from './sandbox.ts';

export function launch({ settings, request, shard }: JobArgument<'launch'>): LaunchedProcess {
  const pass = failPoints(settings.failPoint);
  makeRunDirectory(request.workingDirectory);
  claimRunDirectory(request.workingDirectory, settings.homeId);
  pass('launch:run-directory');
  const owner = request.sandbox?.uid ?? 0;
  if (request.tap !== null) attachTap(settings, request.tap, shard, owner);
  pass('launch:tap');
  const cgroup = makeCgroup(settings.hostTag, request.cgroup);
  pass('launch:cgroup');
  const { pid, startTimeTicks, pidfd, cgroupErrno } = launchProcess(settings, request, cgroup);
  try {
    pass('launch:process');
    offerToOom(pid);
    if (request.boots) setCpuShare(settings.hostTag, request.cgroup.name, pid, 'boots');
  } catch (error) {
    // Nobody would ever hear of it.
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

/** What the kernel says of a step that the daemon may not do, or that this kernel does not know. */
const FORBIDDEN = ['EPERM', 'EACCES', 'ENOSYS', 'EINVAL'];

function launchProcess(
  settings: HostSettings,
  request: JobArgument<'launch'>['request'],
  cgroup: ReturnType<typeof makeCgroup>,
) {
  const { executable, sandbox } =
    request.sandbox === null
      ? { executable: request.executable, sandbox: null }
      : makeSandbox(settings, request, request.sandbox);
  try {
    return native.launch({
      file: executable,
      argv: [request.executable, ...request.argv],
      // Nothing of the daemon's environment, which may hold its API key.
      env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LANG=C.UTF-8'],
      cwd: request.workingDirectory,
      logPath: request.logPath,
      cgroupProcsPath: cgroup.procs,
      tap: request.tap?.guest.tapName ?? null,
      sandbox,
    });
  } catch (error) {
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
