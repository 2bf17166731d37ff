// workers, job: dnsmasq as the DHCP server of the guests' network. Which guest has which address is decided by
// the engine and only said here; dnsmasq answers whom it knows, and is no DNS server.

import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GuestIdentity, NetworkSpec } from '../../engine/network-ports.ts';
import { native } from '../native.ts';
import type { HostSettings, JobArgument, JobResult } from '../protocol.ts';
import { errnoOf, JobFault } from './fault.ts';
import { readNameServers } from './host-facts.ts';
import { bootId, startTimeOf } from './process-facts.ts';

const START_TIMEOUT_MS = 5_000;
const STOP_TIMEOUT_MS = 2_000;
const PAUSE_MS = 10;
const LEASE_TIME = '1h';

/** dnsmasq reads the files of this directory as a user of its own, who may not look into the home directory. */
const directoryOf = (hostTag: string) => `/run/volant-dhcp-${hostTag}`;

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
  const options = optionsFor(settings, spec, directory);
  const pid = runningIn(directory);
  if (pid !== null && hasOptions(pid, options) && !hasStrangers(directory, guests)) {
    process.kill(pid, 'SIGHUP');
    return pid === watchedPid ? null : found(pid);
  }
  // dnsmasq knows its leases by heart, and would keep an address for a guest that is gone.
  if (pid !== null) end(pid);
  forgetStrangers(directory, guests);
  return start(options, directory);
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
    `--dhcp-leasefile=${join(directory, 'leases')}`,
    '--dhcp-lease-max=1000000',
    `--pid-file=${join(directory, 'pid')}`,
  ];
}

function start(options: readonly string[], directory: string) {
  const logPath = join(directory, 'log');
  rmSync(logPath, { force: true });
  rmSync(join(directory, 'pid'), { force: true });
  const { pid, startTimeTicks, pidfd } = launchDnsmasq(options, directory, logPath);
  const deadlineMs = Date.now() + START_TIMEOUT_MS;
  // It writes its pid when it can answer.
  while (runningIn(directory) !== pid) {
    if (startTimeOf(pid) === null || Date.now() > deadlineMs) {
      native.closeFd(pidfd);
      const why = lastLineOf(logPath);
      throw new JobFault('HOST_OPERATION_FAILED', `dnsmasq does not start: ${why}`, null);
    }
    pause();
  }
  return { pidfd, identity: { pid, startTimeTicks, bootId: bootId() } };
}

function launchDnsmasq(options: readonly string[], directory: string, logPath: string) {
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
        sandbox: null,
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
  const pid = Number(textOf(join(directory, 'pid')));
  if (!Number.isInteger(pid) || pid <= 0) return null;
  const isOurs = textOf(`/proc/${pid}/cmdline`).includes(`--pid-file=${join(directory, 'pid')}\0`);
  return isOurs && startTimeOf(pid) !== null ? pid : null;
}

/** Settings of the daemon may have changed since it was started. */
function hasOptions(pid: number, options: readonly string[]): boolean {
  const [, ...own] = textOf(`/proc/${pid}/cmdline`).split('\0').slice(0, -1);
  return JSON.stringify(own) === JSON.stringify(options);
}

function end(pid: number): void {
  const startedAt = startTimeOf(pid);
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const deadlineMs = Date.now() + STOP_TIMEOUT_MS;
    process.kill(pid, signal);
    while (Date.now() < deadlineMs) {
      if (startTimeOf(pid) !== startedAt) return;
      pause();
    }
  }
  throw new JobFault('HOST_OPERATION_FAILED', 'dnsmasq outlived SIGKILL', null);
}

/** A line of the lease file: expiry, MAC address, IP address, name, client id (dnsmasq(8)). */
function hasStrangers(directory: string, guests: readonly GuestIdentity[]): boolean {
  const known = new Set(guests.map(({ macAddress }) => macAddress));
  return leasesIn(directory).some((line) => !known.has(line.split(' ')[1] ?? ''));
}

function forgetStrangers(directory: string, guests: readonly GuestIdentity[]): void {
  const known = new Set(guests.map(({ macAddress }) => macAddress));
  const kept = leasesIn(directory).filter((line) => known.has(line.split(' ')[1] ?? ''));
  writeFileSync(join(directory, 'leases'), kept.map((line) => `${line}\n`).join(''));
}

function leasesIn(directory: string): readonly string[] {
  return textOf(join(directory, 'leases')).split('\n').filter(Boolean);
}

function lastLineOf(path: string): string {
  return textOf(path).trim().split('\n').at(-1) || 'it said nothing';
}

/** What is not there is empty. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
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
