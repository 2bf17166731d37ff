// workers, job: dnsmasq as the DHCP server of the guests' network. Which guest has which address is decided by
// the engine and only said here; dnsmasq answers whom it knows, and is no DNS server.

import {
  chmodSync,
  chownSync,
  constants,
  lchownSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { GuestIdentity, NetworkSpec } from '../../engine/network-ports.ts';
import { native, type SandboxOptions } from '../native.ts';
import type { HostSettings, JobArgument, JobResult } from '../protocol.ts';
import { errnoOf, JobFault } from './fault.ts';
import { readEnd, withForeignFile } from './foreign-file.ts';
import { readNameServers } from './host-facts.ts';
import { bootId, startTimeOf } from './process-facts.ts';

const START_TIMEOUT_MS = 5_000;
const STOP_TIMEOUT_MS = 2_000;
const PAUSE_MS = 10;
const LEASE_TIME = '1h';
/** More than the leases of all VMs, and than it says. */
const STATE_BYTES_MAX = 32 * 1024 ** 2;
const SERVER_TASKS_MAX = 8;
const SERVER_FILES_MAX = 1024;
/** CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW of capabilities(7): it refuses to start without them. */
const SERVER_CAPABILITIES = [10, 12, 13];

/** dnsmasq reads the files of this directory as a user of its own, who may not look into the home directory. */
const directoryOf = (hostTag: string) => `/run/volant-dhcp-${hostTag}`;
/** What dnsmasq writes: it hears every guest, so that nothing in there is trusted. */
const stateIn = (directory: string) => join(directory, 'state');

/**
 * Makes dnsmasq serve these guests and no others; with none it is ended. One that runs with other settings is
 * replaced. Tells the process, unless the caller watches it already.
 */
export function serveLeases({
  settings,
  spec,
  guests,
  watchedPid,
}: JobArgument<'serveLeases'>): JobResult<'serveLeases'> {
  const directory = directoryOf(settings.hostTag);
  if (guests.length === 0) {
    endLeaseServer(settings.hostTag);
    return null;
  }
  mkdirSync(directory, { recursive: true });
  const hosts = guests.map(({ macAddress, ipAddress }) => `${macAddress},${ipAddress}\n`).join('');
  writeFileSync(join(directory, 'hosts'), hosts);
  // Whatever the umask of the daemon is.
  chmodSync(directory, 0o755);
  chmodSync(join(directory, 'hosts'), 0o644);
  const state = stateIn(directory);
  mkdirSync(state, { recursive: true, mode: 0o755 });
  const options = optionsFor(settings, spec, directory);
  const pid = runningIn(directory);
  if (pid !== null && hasOptions(pid, options) && !hasStrangers(state, guests)) {
    process.kill(pid, 'SIGHUP');
    return pid === watchedPid ? null : found(pid);
  }
  // dnsmasq knows its leases by heart, and would keep an address for a guest that is gone.
  if (pid !== null) end(pid);
  const owner = settings.isolation === 'full' ? settings.firstUid : 0;
  chownSync(state, owner, owner);
  forgetStrangers(state, guests, owner);
  return start(settings, options, directory);
}

/** Ends it and removes its files. One that does not run is fine. */
export function endLeaseServer(hostTag: string): void {
  const directory = directoryOf(hostTag);
  const pid = runningIn(directory);
  if (pid !== null) end(pid);
  rmSync(directory, { recursive: true, force: true });
}

/** One that an earlier daemon started. */
function found(pid: number) {
  const pidfd = native.pidfdOpen(pid);
  return { pidfd, identity: { pid, startTimeTicks: startTimeOf(pid) ?? 0, bootId: bootId() } };
}

function optionsFor(settings: HostSettings, spec: NetworkSpec, directory: string): string[] {
  const nameServers = settings.nameServers.length > 0 ? settings.nameServers : readNameServers();
  const [base = ''] = spec.subnet.split('/');
  return [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--port=0',
    `--interface=${spec.bridge}`,
    '--bind-dynamic',
    '--dhcp-authoritative',
    // An address is the engine's to give: nobody else can have it.
    '--no-ping',
    '--quiet-dhcp',
    '--log-facility=-',
    `--dhcp-range=${base},static,${LEASE_TIME}`,
    `--dhcp-option=option:router,${spec.hostIp}`,
    `--dhcp-option=${['option:dns-server', ...nameServers].join(',')}`,
    `--dhcp-hostsfile=${join(directory, 'hosts')}`,
    `--dhcp-leasefile=${join(stateIn(directory), 'leases')}`,
    '--dhcp-lease-max=1000000',
    `--pid-file=${join(stateIn(directory), 'pid')}`,
    // It is somebody already, in a view without names of users.
    ...(settings.isolation === 'full' ? ['--user=', '--group='] : []),
  ];
}

function start(settings: HostSettings, options: readonly string[], directory: string) {
  const state = stateIn(directory);
  const logPath = join(state, 'log');
  rmSync(logPath, { force: true });
  rmSync(join(state, 'pid'), { force: true });
  const sandbox = sandboxFor(settings, directory);
  const { pid, startTimeTicks, pidfd } = launchDnsmasq(options, state, logPath, sandbox);
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  // It writes its pid when it can answer.
  while (runningIn(directory) !== pid) {
    if (startTimeOf(pid) === null || performance.now() > deadlineMs) {
      native.closeFd(pidfd);
      const why = lastLineOf(logPath);
      throw new JobFault('HOST_OPERATION_FAILED', `dnsmasq does not start: ${why}`, null);
    }
    pause();
  }
  return { pidfd, identity: { pid, startTimeTicks, bootId: bootId() } };
}

/** It is in the network of the host, and otherwise as far from it as a hypervisor. */
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
        env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LANG=C.UTF-8'],
        cwd: directory,
        logPath,
        cgroupProcsPath: null,
        tap: null,
        sandbox,
      });
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
  const remedy = 'install the package dnsmasq-base, or set VOLANT_DHCP_SERVER=outside';
  throw new JobFault('HOST_OPERATION_FAILED', `There is no dnsmasq on this host: ${remedy}`, null);
}

/** The pid of the one that serves this directory. A number in a file alone may be anybody's by now. */
function runningIn(directory: string): number | null {
  const file = join(stateIn(directory), 'pid');
  const pid = Number(textOf(file));
  if (!Number.isInteger(pid) || pid <= 0) return null;
  const isOurs = commandLineOf(pid).includes(`--pid-file=${file}\0`);
  return isOurs && startTimeOf(pid) !== null ? pid : null;
}

/** Settings of the daemon may have changed since it was started. */
function hasOptions(pid: number, options: readonly string[]): boolean {
  const [, ...own] = commandLineOf(pid).split('\0').slice(0, -1);
  return JSON.stringify(own) === JSON.stringify(options);
}

function end(pid: number): void {
  const startedAt = startTimeOf(pid);
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const deadlineMs = performance.now() + STOP_TIMEOUT_MS;
    process.kill(pid, signal);
    while (performance.now() < deadlineMs) {
      if (startTimeOf(pid) !== startedAt) return;
      pause();
    }
  }
  throw new JobFault('HOST_OPERATION_FAILED', 'dnsmasq outlived SIGKILL', null);
}

/** A line of the lease file: expiry, MAC address, IP address, name, client id (dnsmasq(8)). */
function hasStrangers(state: string, guests: readonly GuestIdentity[]): boolean {
  const known = new Set(guests.map(({ macAddress }) => macAddress));
  return leasesIn(state).some((line) => !known.has(line.split(' ')[1] ?? ''));
}

function forgetStrangers(state: string, guests: readonly GuestIdentity[], owner: number): void {
  const known = new Set(guests.map(({ macAddress }) => macAddress));
  const kept = leasesIn(state).filter((line) => known.has(line.split(' ')[1] ?? ''));
  const path = join(state, 'leases');
  rmSync(path, { recursive: true, force: true });
  writeFileSync(path, kept.map((line) => `${line}\n`).join(''), { flag: 'wx' });
  lchownSync(path, owner, owner);
}

function leasesIn(state: string): readonly string[] {
  return textOf(join(state, 'leases')).split('\n').filter(Boolean);
}

function lastLineOf(path: string): string {
  return textOf(path).trim().split('\n').at(-1) || 'it said nothing';
}

/** Of a file of its state. What is not there is empty. */
function textOf(path: string): string {
  const read = (fd: number) => readEnd(fd, STATE_BYTES_MAX).toString();
  return withForeignFile(path, constants.O_RDONLY, read) ?? '';
}

/** Empty for a process that is gone. */
function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ESRCH') return '';
    throw error;
  }
}

/** This thread is here to wait. */
function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
}
