// jobs, network: runs dnsmasq as the DHCP server of the guests' network. The engine decides which guest has which
// address; dnsmasq only answers the guests that it is given. It does not serve DNS. When it runs is decided in
// host/network/lease-server.ts.

import { chmodSync, chownSync, lchownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GuestIdentity, NetworkSpec } from '../../../engine/ports/network-ports.ts';
import type { HostSettings, JobArgument, JobResult } from '../protocol.ts';
import {
  endDnsmasq,
  foundDnsmasq,
  hasOptions,
  runningIn,
  startDnsmasq,
  stateIn,
  textOf,
} from './dnsmasq.ts';
import { readNameServers } from './name-servers.ts';

const LEASE_TIME = '1h';

/** dnsmasq has a user of its own, who cannot read the home directory, so its files are here. */
const directoryOf = (hostTag: string) => `/run/volant-dhcp-${hostTag}`;

/**
 * Makes dnsmasq serve exactly these guests. Without guests it is ended. One that runs with other settings is
 * replaced. Returns the process, or null when the caller watches it already or there is none.
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
  // Independent of the daemon's umask.
  chmodSync(directory, 0o755);
  chmodSync(join(directory, 'hosts'), 0o644);
  const state = stateIn(directory);
  mkdirSync(state, { recursive: true, mode: 0o755 });
  const options = optionsFor(settings, spec, directory);
  const pid = runningIn(directory);
  if (pid !== null && hasOptions(pid, options) && !hasOtherLeases(state, guests)) {
    process.kill(pid, 'SIGHUP');
    return pid === watchedPid ? null : foundDnsmasq(pid);
  }
  // dnsmasq keeps its leases in memory, and would keep an address for a guest that is gone.
  if (pid !== null) endDnsmasq(pid);
  const owner = settings.isolation === 'full' ? settings.firstUid : 0;
  chownSync(state, owner, owner);
  removeOtherLeases(state, guests, owner);
  return startDnsmasq(settings, options, directory);
}

/** Ends dnsmasq and removes its files. One that does not run is no error. */
export function endLeaseServer(hostTag: string): void {
  const directory = directoryOf(hostTag);
  const pid = runningIn(directory);
  if (pid !== null) endDnsmasq(pid);
  rmSync(directory, { recursive: true, force: true });
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
    // The engine allocates addresses, so no other host can have one.
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
    // Its user is set by the sandbox, where no names of users are known.
    ...(settings.isolation === 'full' ? ['--user=', '--group='] : []),
  ];
}

/**
 * Whether a lease belongs to none of these guests. Line format: expiry, MAC address, IP address, name, client id
 * (dnsmasq(8)).
 */
function hasOtherLeases(state: string, guests: readonly GuestIdentity[]): boolean {
  const known = new Set(guests.map(({ macAddress }) => macAddress));
  return leasesIn(state).some((line) => !known.has(line.split(' ')[1] ?? ''));
}

function removeOtherLeases(state: string, guests: readonly GuestIdentity[], owner: number): void {
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
