// jobs, network, egress: runs a resolver for each policy that has names. They are processes of dnsmasq, which outlive the daemon;
// when they run is decided in host/network/name-resolvers.ts. What one forwards is in resolver-config.ts.

import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { LIMITS } from '../../../../config/limits.ts';
import { type EgressPolicy, policyOf } from '../../../../lib/net/egress.ts';
import { parseIpv4 } from '../../../../lib/net/ipv4.ts';
import { errnoOf, JobFault } from '../../fault.ts';
import type { HostSettings, JobArgument, JobResult } from '../../protocol.ts';
import {
  endDnsmasq,
  foundDnsmasq,
  hasOptions,
  runningIn,
  startDnsmasq,
  stateIn,
} from '../dnsmasq.ts';
import { resolverConfig } from './resolver-config.ts';
import { egressTableOf } from './tables.ts';

const RESOLV_CONF = '/etc/resolv.conf';

/** dnsmasq has a user of its own, who cannot read the home directory, so its files are here. */
const rootOf = (hostTag: string) => `/run/volant-dns-${hostTag}`;

/**
 * Makes exactly these policies have a resolver each. One that runs with another configuration is replaced. A policy whose
 * resolver does not start is among `failed`; that does not affect the others.
 */
export function serveNames({
  settings,
  spec,
  policies,
  watched,
}: JobArgument<'serveNames'>): JobResult<'serveNames'> {
  const wanted = policies.map(policyOf);
  const root = rootOf(settings.hostTag);
  for (const id of presentIn(root)) {
    if (!wanted.some((policy) => policy.id === id)) endResolver(join(root, id));
  }
  const ports: { policyId: string; port: number }[] = [];
  const started: JobResult<'serveNames'>['started'][number][] = [];
  const failed: JobResult<'serveNames'>['failed'][number][] = [];
  const free = new FreePorts(root, wanted);
  for (const policy of wanted) {
    try {
      const { port, server } = serve(settings, spec.hostIp, policy, free, watched);
      ports.push({ policyId: policy.id, port });
      if (server !== null) started.push({ policyId: policy.id, ...server });
    } catch (error) {
      const why = error instanceof JobFault ? error.message : String(error);
      failed.push({ policyId: policy.id, why });
    }
  }
  return { ports, started, failed };
}

/** Ends all resolvers and removes their files. */
export function endResolvers(hostTag: string): void {
  const root = rootOf(hostTag);
  for (const id of presentIn(root)) endResolver(join(root, id));
  rmSync(root, { recursive: true, force: true });
}

function endResolver(directory: string): void {
  const pid = runningIn(directory);
  if (pid !== null) endDnsmasq(pid);
  rmSync(directory, { recursive: true, force: true });
}

function serve(
  settings: HostSettings,
  address: string,
  policy: EgressPolicy,
  free: FreePorts,
  watched: JobArgument<'serveNames'>['watched'],
) {
  const directory = join(rootOf(settings.hostTag), policy.id);
  const facts = {
    table: egressTableOf(settings.hostTag),
    address,
    upstreams: upstreamsOf(settings),
  };
  const present = portIn(directory);
  if (present !== null) {
    const pid = runningIn(directory);
    const options = optionsFor(settings, directory);
    const config = resolverConfig(policy, { ...facts, port: present });
    if (pid !== null && hasOptions(pid, options) && configIn(directory) === config) {
      const isWatched = watched.some((one) => one.policyId === policy.id && one.pid === pid);
      return { port: present, server: isWatched ? null : foundDnsmasq(pid) };
    }
    if (pid !== null) endDnsmasq(pid);
  }
  for (const port of present === null ? free.ports() : [present, ...free.ports()]) {
    try {
      return {
        port,
        server: start(settings, directory, resolverConfig(policy, { ...facts, port })),
      };
    } catch (error) {
      // Another program has the port.
      if (!(error instanceof JobFault) || !/address already in use/i.test(error.message))
        throw error;
    }
  }
  const first = LIMITS.egressResolverPortFirst;
  const last = first + LIMITS.egressResolversMax - 1;
  throw new JobFault(
    'HOST_OPERATION_FAILED',
    `No port of ${address} from ${first} to ${last} is free for a resolver`,
  );
}

function start(settings: HostSettings, directory: string, config: string) {
  const state = stateIn(directory);
  mkdirSync(state, { recursive: true, mode: 0o755 });
  writeFileSync(join(directory, 'conf'), config);
  // Independent of the daemon's umask.
  for (const path of [rootOf(settings.hostTag), directory]) chmodSync(path, 0o755);
  chmodSync(join(directory, 'conf'), 0o644);
  const owner = settings.isolation === 'full' ? settings.firstUid : 0;
  chownSync(state, owner, owner);
  return startDnsmasq(settings, optionsFor(settings, directory), directory);
}

function optionsFor({ isolation }: HostSettings, directory: string): string[] {
  return [
    '--keep-in-foreground',
    `--conf-file=${join(directory, 'conf')}`,
    '--log-facility=-',
    `--pid-file=${join(stateIn(directory), 'pid')}`,
    // Its user is set by the sandbox, where no names of users are known.
    ...(isolation === 'full' ? ['--user=', '--group='] : []),
  ];
}

/** The servers of the settings, else the host's, those on its loopback too: the resolver runs on the host. */
function upstreamsOf({ nameServers }: HostSettings): readonly string[] {
  if (nameServers.length > 0) return nameServers;
  const found = [...(textIn(RESOLV_CONF) ?? '').matchAll(/^\s*nameserver\s+(\S+)/gm)];
  return found.map((match) => match[1] ?? '').filter((server) => parseIpv4(server) !== null);
}

function presentIn(root: string): readonly string[] {
  try {
    return readdirSync(root);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

const configIn = (directory: string) => textIn(join(directory, 'conf'));

function portIn(directory: string): number | null {
  const port = /^port=(\d+)$/m.exec(configIn(directory) ?? '')?.[1];
  return port === undefined ? null : Number(port);
}

function textIn(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Ports that no resolver of this daemon has. */
class FreePorts {
  readonly #taken: Set<number>;

  constructor(root: string, policies: readonly EgressPolicy[]) {
    this.#taken = new Set(policies.flatMap(({ id }) => portIn(join(root, id)) ?? []));
  }

  /** Each is given out once. */
  *ports(): Generator<number> {
    const first = LIMITS.egressResolverPortFirst;
    for (let port = first; port < first + LIMITS.egressResolversMax; port += 1) {
      if (this.#taken.has(port)) continue;
      this.#taken.add(port);
      yield port;
    }
  }
}
