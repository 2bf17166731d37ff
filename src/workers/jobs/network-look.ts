// workers, job: the guests' network as the kernel has it: links by one request of netlink, tables by nft. Nothing is
// changed here; what of it is wrong is the engine's to say.

import type { FilterEntry, Forward, ForwardTarget } from '../../engine/network-ports.ts';
import { native } from '../native.ts';
import type { JobArgument, LookedAtNetwork } from '../protocol.ts';
import { shardOfBridge } from './bridge-shards.ts';
import { readIpForward, readRouteLocalnet } from './kernel-settings.ts';
import { tableOf } from './nft.ts';
import { digestOf, elementsOf, type NftObject, readTables, type TableName } from './nft-tables.ts';

type Links = ReturnType<typeof native.links>;

export function lookAtNetwork(argument: JobArgument<'lookAtNetwork'>): LookedAtNetwork {
  const { settings, spec, isNeeded } = argument;
  const { hostTag } = settings;
  const links = native.links();
  const bridge = links.find(({ name }) => name === spec.bridge);
  const table = tableOf(hostTag);
  const names: TableName[] = [`ip ${table}`, `bridge ${table}`, `ip ${table}_ports`];
  const hasRules = isNeeded || bridge !== undefined;
  const [nat = null, filter = null, ports = null] = hasRules ? readTables(names) : [];
  return {
    bridge:
      bridge === undefined
        ? null
        : { isUp: bridge.isUp, addresses: native.linkAddresses(spec.bridge) },
    taps: links
      .filter(({ name }) => name.startsWith(`vt${hostTag}-`))
      .map(({ name, master, isUp }) => ({
        name,
        isUp,
        shard: master === null ? null : shardOfBridge(hostTag, spec, master),
      })),
    shards: shardsIn(hostTag, spec.bridge, links),
    nat: digestOf(nat),
    filter: { rules: digestOf(filter), ...sendersIn(filter) },
    ports: { rules: portRulesOf(ports), forwards: forwardsIn(ports) },
    ipForward: readIpForward() === '1',
    routeLocalnet: readRouteLocalnet(spec.bridge) === '1',
  };
}

function shardsIn(hostTag: string, bridge: string, links: Links): LookedAtNetwork['shards'] {
  const known = new Map(links.map((link) => [link.name, link]));
  const isPort = (name: string, master: string) => {
    const link = known.get(name);
    return link?.master === master && link.isUp;
  };
  return links.flatMap(({ name, isUp }) => {
    const number = new RegExp(`^vb${hostTag}-(\\d+)$`).exec(name)?.[1];
    if (number === undefined) return [];
    const hasCable =
      isPort(`vd${hostTag}-${number}`, name) && isPort(`vu${hostTag}-${number}`, bridge);
    return [{ shard: Number(number), isWhole: isUp && hasCable }];
  });
}

function sendersIn(filter: readonly NftObject[] | null) {
  const partsOf = (element: unknown) => (element as { concat: readonly string[] }).concat;
  const entryOf = (element: unknown): FilterEntry => {
    const [tapName = '', macAddress = '', ipAddress = null] = partsOf(element);
    return { tapName, macAddress, ipAddress };
  };
  return {
    entries: ['guests', 'any_address'].flatMap((set) => elementsOf(filter, set).map(entryOf)),
    taken: elementsOf(filter, 'taken').map(String),
  };
}

/** Chains of single ports are named like them: tcp_8080. */
const isPortChain = (name: unknown) => /^(tcp|udp)_\d+$/.test(String(name));

/** As digestOf, without the ports themselves. */
export function portRulesOf(ports: readonly NftObject[] | null): string | null {
  return digestOf(
    ports,
    ({ chain, rule }) => isPortChain(chain?.['name']) || isPortChain(rule?.['chain']),
  );
}

/** What a port leads to is read from its rule, and whether it leads anywhere from the map. */
function forwardsIn(ports: readonly NftObject[] | null): readonly Forward[] {
  const targets = new Map<string, readonly ForwardTarget[]>();
  for (const { rule } of ports ?? []) {
    if (rule !== undefined && isPortChain(rule['chain'])) {
      targets.set(String(rule['chain']), targetsOf(rule['expr'] as readonly NftObject[]));
    }
  }
  return elementsOf(ports, 'ports').map((element) => {
    const [key, verdict] = element as [{ concat: [string, number] }, { goto?: { target: string } }];
    const [protocol, hostPort] = key.concat;
    return {
      protocol: protocol === 'udp' ? 'udp' : 'tcp',
      hostPort,
      targets: targets.get(verdict.goto?.target ?? '') ?? [],
    };
  });
}

type Turns = { map?: { data?: { set?: readonly [number, { concat: [string, number] }][] } } };

/** {"dnat": {"addr": "10.0.0.2", "port": 80}}, or with a map of turns in place of the address. */
function targetsOf(expressions: readonly NftObject[]): readonly ForwardTarget[] {
  const dnat = expressions.find((expression) => 'dnat' in expression)?.['dnat'];
  if (dnat === undefined) return [];
  const { addr, port } = dnat;
  if (typeof addr === 'string') return [{ address: addr, port: Number(port) }];
  const turns = (addr as Turns | undefined)?.map?.data?.set ?? [];
  return turns.map(([, { concat }]) => ({ address: concat[0], port: concat[1] }));
}
