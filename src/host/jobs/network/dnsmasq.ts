// jobs, network: starts, finds and ends processes of dnsmasq, each by the pid file in a directory of its own. What a process
// serves is in the files that use this one.

import { constants, readFileSync, rmSync } from 'node:fs';
import { constants as systemConstants } from 'node:os';
import { join } from 'node:path';
import { bootId } from '../../../lib/clock.ts';
import { errnoOf, JobFault } from '../fault.ts';
import { native, type SandboxOptions } from '../native.ts';
import { startTimeOf } from '../process-facts.ts';
import type { HostSettings } from '../protocol.ts';
import { LAUNCH_ENVIRONMENT } from '../run-program.ts';
import { readEnd, withUntrustedFile } from '../untrusted-file.ts';

const START_TIMEOUT_MS = 5_000;
const STOP_TIMEOUT_MS = 2_000;
const PAUSE_MS = 10;
/** More than the leases of all VMs and more than its log. */
const STATE_BYTES_MAX = 32 * 1024 ** 2;
const SERVER_FILES_MAX = 1024;
/** Processes of the user that all of them share. Each has up to 20 children for look-ups over TCP. */
const SERVER_TASKS_MAX = 2048;
/** CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW of capabilities(7). dnsmasq does not start without them. */
const SERVER_CAPABILITIES = [10, 12, 13];

/** The files that dnsmasq writes. It receives packets of every guest, so the daemon does not trust these files. */
export const stateIn = (directory: string) => join(directory, 'state');

/** Opens a dnsmasq that an earlier daemon started. */
export function foundDnsmasq(pid: number) {
  const pidfd = native.pidfdOpen(pid);
  return { pidfd, identity: { pid, startTimeTicks: startTimeOf(pid) ?? 0, bootId: bootId() } };
}

/** Starts dnsmasq with these options. Returns when it can answer. */
export function startDnsmasq(
  settings: HostSettings,
  options: readonly string[],
  directory: string,
) {
  const state = stateIn(directory);
  const logPath = join(state, 'log');
  rmSync(logPath, { force: true });
  rmSync(join(state, 'pid'), { force: true });
  const sandbox = sandboxFor(settings, directory);
  const { pid, startTimeTicks, pidfd } = launchDnsmasq(options, state, logPath, sandbox);
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  // dnsmasq writes its pid file when it can answer.
  try {
    while (runningIn(directory) !== pid) {
      if (startTimeOf(pid) === null || performance.now() > deadlineMs) {
        const why = lastLineOf(logPath);
        throw new JobFault('HOST_OPERATION_FAILED', `dnsmasq does not start: ${why}`, null);
      }
      pause();
    }
  } catch (error) {
    // Otherwise a slow one would run without an owner, and keep the port from the next.
    try {
      if (startTimeOf(pid) === startTimeTicks) {
        native.pidfdSignal(pidfd, systemConstants.signals.SIGKILL);
      }
    } finally {
      native.closeFd(pidfd);
    }
    throw error;
  }
  return { pidfd, identity: { pid, startTimeTicks, bootId: bootId() } };
}

/** dnsmasq is in the host's network namespace, and otherwise isolated like a hypervisor. */
function sandboxFor(settings: HostSettings, directory: string): SandboxOptions | null {
  if (settings.isolation === 'off') return null;
  return {
    uid: settings.firstUid,
    capabilities: SERVER_CAPABILITIES,
    hostNetwork: true,
    readOnly: [directory],
    readWrite: [stateIn(directory)],
    devices: [],
    tasksMax: SERVER_TASKS_MAX,
    filesMax: SERVER_FILES_MAX,
    lockedBytesMax: 0,
  };
}

function launchDnsmasq(
  options: readonly string[],
  directory: string,
  logPath: string,
  sandbox: SandboxOptions | null,
) {
  for (const file of ['/usr/sbin/dnsmasq', '/sbin/dnsmasq', '/usr/local/sbin/dnsmasq']) {
    try {
      return native.launch({
        file,
        argv: [file, ...options],
        env: LAUNCH_ENVIRONMENT,
        cwd: directory,
        logPath,
        cgroupProcsPath: null,
        tap: null,
        controlPath: null,
        sandbox,
      });
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
  const remedy = 'install the package dnsmasq-base';
  throw new JobFault('HOST_OPERATION_FAILED', `There is no dnsmasq on this host: ${remedy}`, null);
}

/**
 * Returns the pid of the dnsmasq that serves this directory. The command line is compared, because the pid may belong
 * to another process by now.
 */
export function runningIn(directory: string): number | null {
  const file = join(stateIn(directory), 'pid');
  const pid = Number(textOf(file));
  if (!Number.isInteger(pid) || pid <= 0) return null;
  const isOurs = commandLineOf(pid).includes(`--pid-file=${file}\0`);
  return isOurs && startTimeOf(pid) !== null ? pid : null;
}

/** Whether the process was started with these options: the daemon's settings may have changed since. */
export function hasOptions(pid: number, options: readonly string[]): boolean {
  const [, ...own] = commandLineOf(pid).split('\0').slice(0, -1);
  return JSON.stringify(own) === JSON.stringify(options);
}

/** Ends a process of dnsmasq, and returns when it is gone. */
export function endDnsmasq(pid: number): void {
  const startedAt = startTimeOf(pid);
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const deadlineMs = performance.now() + STOP_TIMEOUT_MS;
    process.kill(pid, signal);
    while (performance.now() < deadlineMs) {
      if (startTimeOf(pid) !== startedAt) return;
      pause();
    }
  }
  throw new JobFault('HOST_OPERATION_FAILED', 'dnsmasq has not ended after SIGKILL', null);
}

function lastLineOf(path: string): string {
  return textOf(path).trim().split('\n').at(-1) || 'it printed nothing';
}

/** Returns the end of a file that dnsmasq wrote; empty when it is absent. */
export function textOf(path: string): string {
  const read = (fd: number) => readEnd(fd, STATE_BYTES_MAX).toString();
  return withUntrustedFile(path, constants.O_RDONLY, read) ?? '';
}

/** Returns the command line of a process; empty when it has ended. */
function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ESRCH') return '';
    throw error;
  }
}

/** Blocks, which a worker thread may do. */
function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
}
