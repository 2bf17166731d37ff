// jobs, network: reads the state of the guests' network from the kernel: links by one netlink request, tables by nft.
// Nothing is changed here. What of the state is wrong is decided by the engine.

import type { FilterEntry, Forward, ForwardTarget } from '../../../engine/ports/network-ports.ts';
import { native } from '../native.ts';
import type { JobArgument, NetworkReading } from '../protocol.ts';
import { egressReading } from './egress/egress.ts';
import { egressTableOf } from './egress/tables.ts';
import { readIpForward, readRouteLocalnet } from './kernel-settings.ts';
import { tableOf } from './nft.ts';
import { digestOf, elementsOf, type NftObject, readTables, type TableName } from './nft-tables.ts';
import { bridgeNumberIn } from './secondary-bridges.ts';

type Links = ReturnType<typeof native.links>;

/** Reads the state. `isNeeded` false skips the tables while there is no bridge. */
export function readNetwork(argument: JobArgument<'readNetwork'>): NetworkReading {
  const { settings, spec, isNeeded } = argument;
  const { hostTag } = settings;
  const links = native.links();
  const bridge = links.find(({ name }) => name === spec.bridge);
  const table = tableOf(hostTag);
  const egressTable = egressTableOf(hostTag);
  const names: TableName[] = [
    `ip ${table}`,
    `bridge ${table}`,
    `ip ${table}_ports`,
    `ip ${egressTable}`,
    `bridge ${egressTable}`,
  ];
  const hasRules = isNeeded || bridge !== undefined;
  const [nat = null, filter = null, ports = null, ipEgress = null, bridgeEgress = null] = hasRules
    ? readTables(names)
    : [];
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
        bridgeNumber: master === null ? null : bridgeNumberIn(hostTag, spec, master),
      })),
    secondaryBridges: secondaryBridgesIn(hostTag, spec.bridge, links),
    nat: digestOf(nat),
    filter: { rules: digestOf(filter), ...sendersIn(filter) },
    ports: { rules: portRulesOf(ports), forwards: forwardsIn(ports) },
    egress: egressReading([ipEgress, bridgeEgress], spec),
    ipForward: readIpForward() === '1',
    routeLocalnet: readRouteLocalnet(spec.bridge) === '1',
  };
}

function secondaryBridgesIn(
  hostTag: string,
  bridge: string,
  links: Links,
): NetworkReading['secondaryBridges'] {
  const known = new Map(links.map((link) => [link.name, link]));
  const isPort = (name: string, master: string) => {
    const link = known.get(name);
    return link?.master === master && link.isUp;
  };
  return links.flatMap(({ name, isUp }) => {
    const number = new RegExp(`^vb${hostTag}-(\\d+)$`).exec(name)?.[1];
    if (number === undefined) return [];
    const hasVethPair =
      isPort(`vd${hostTag}-${number}`, name) && isPort(`vu${hostTag}-${number}`, bridge);
    return [{ bridgeNumber: Number(number), isWhole: isUp && hasVethPair }];
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
    owners: elementsOf(filter, 'owners').map((element) => {
      const [tapName = '', ipAddress = ''] = partsOf(element);
      return { tapName, ipAddress };
    }),
  };
}

/** Chains of single ports have names like tcp_8080. */
const isPortChain = (name: unknown) => /^(tcp|udp)_\d+$/.test(String(name));

/** Like digestOf, without the chains of single ports. */
export function portRulesOf(ports: readonly NftObject[] | null): string | null {
  return digestOf(
    ports,
    ({ chain, rule }) => isPortChain(chain?.['name']) || isPortChain(rule?.['chain']),
  );
}

/** The backends of a port come from its rule. The map says whether the rule is in use. */
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

/** Reads {"dnat": {"addr": "10.0.0.2", "port": 80}}, or the same with a map of several backends as the address. */
function targetsOf(expressions: readonly NftObject[]): readonly ForwardTarget[] {
  const dnat = expressions.find((expression) => 'dnat' in expression)?.['dnat'];
  if (dnat === undefined) return [];
  const { addr, port } = dnat;
  if (typeof addr === 'string') return [{ address: addr, port: Number(port) }];
  const turns = (addr as Turns | undefined)?.map?.data?.set ?? [];
  return turns.map(([, { concat }]) => ({ address: concat[0], port: concat[1] }));
}
