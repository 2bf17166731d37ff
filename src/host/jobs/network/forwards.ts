// jobs, network: published ports, as destination NAT of the kernel. Each port has a chain of its own. Only changed
// chains are written, because rewriting a chain restarts its rotation of backends. Tunnels through the agent are not
// here.

import type { Forward, NetworkSpec } from '../../../engine/ports/network-ports.ts';
import { native } from '../native.ts';
import type { HostSettings, JobArgument, JobResult } from '../protocol.ts';
import { readRouteLocalnet, writeRouteLocalnet } from './kernel-settings.ts';
import { natRules } from './nat-rules.ts';
import { nft, tableOf } from './nft.ts';
import { readTables } from './nft-tables.ts';
import { portRulesOf } from './read-network.ts';

type Argument = JobArgument<'setForwards'>;

/**
 * Makes the kernel forward exactly these ports. `applied` is what it forwards already; null (unknown) rewrites the
 * whole table.
 */
export function setForwards(argument: Argument): JobResult<'setForwards'> {
  const { settings, spec, applied, routeLocalnetBefore } = argument;
  const table = `${tableOf(settings.hostTag)}_ports`;
  const forwards = usedOf(argument.forwards);
  const before = applied === null ? null : usedOf(applied);
  const changed = changesOf(before ?? [], forwards);
  if (forwards.length > 0) routeLoopback(settings, spec);
  if (forwards.length === 0) nft(emptied(table), 'Published ports');
  else if (before === null || before.length === 0) {
    nft(emptied(table) + tableText(table, forwards, spec), 'Published ports');
  } else if (changed.length > 0) nft(changeText(table, changed), 'Published ports');
  if (forwards.length === 0 && routeLocalnetBefore !== null) {
    writeRouteLocalnet(spec.bridge, routeLocalnetBefore);
  }
  forgetSenders(changed);
  if (forwards.length === 0) return { rules: null };
  if (before !== null && before.length > 0) return { rules: undefined };
  const [ports = null] = readTables([`ip ${table}`]);
  return { rules: portRulesOf(ports) };
}

/** Ports whose backends are all reached through their agents need no rule in the kernel. */
const usedOf = (forwards: readonly Forward[]) =>
  forwards.filter(({ targets }) => targets.length > 0);

/** One port before and after. null: it did not or does not exist. */
interface Change {
  readonly before: Forward | null;
  readonly after: Forward | null;
}

function changesOf(before: readonly Forward[], after: readonly Forward[]): readonly Change[] {
  const old = new Map(before.map((forward) => [chainOf(forward), forward]));
  const added = after.flatMap((forward): readonly Change[] => {
    const name = chainOf(forward);
    const same = old.get(name) ?? null;
    old.delete(name);
    const isSame = JSON.stringify(same?.targets) === JSON.stringify(forward.targets);
    return isSame ? [] : [{ before: same, after: forward }];
  });
  return [...added, ...[...old.values()].map((gone) => ({ before: gone, after: null }))];
}

/**
 * Without route_localnet the kernel drops packets that a program of the host sends to 127.0.0.1 and that are
 * forwarded to a guest. The rules that keep guests from the loopback are written first, because another program may
 * have removed them.
 */
function routeLoopback(settings: HostSettings, spec: NetworkSpec): void {
  if (readRouteLocalnet(spec.bridge) === '1') return;
  nft(natRules(settings, spec), 'NAT for guests');
  writeRouteLocalnet(spec.bridge, '1');
}

/**
 * Connection tracking keeps sending a UDP sender's datagrams to its first backend, so its entry is removed. TCP
 * connections end by themselves and continue until then.
 */
function forgetSenders(changed: readonly Change[]): void {
  const forwards = changed.flatMap(({ before, after }) => after ?? before ?? []);
  const ports = forwards.flatMap(({ protocol, hostPort }) =>
    protocol === 'udp' ? [hostPort] : [],
  );
  if (ports.length > 0) native.flowsForget(ports, []);
}

/** The table is added first so that the deletion succeeds in any case. */
const emptied = (table: string) => `add table ip ${table}\ndelete table ip ${table}\n`;

const chainOf = ({ protocol, hostPort }: Forward) => `${protocol}_${hostPort}`;

const elementOf = (forward: Forward) =>
  `${forward.protocol} . ${forward.hostPort} : goto ${chainOf(forward)}`;

function changeText(table: string, changed: readonly Change[]): string {
  const lines = changed.flatMap(({ before, after }) => {
    if (after === null) return before === null ? [] : removalOf(table, before);
    const chain = `ip ${table} ${chainOf(after)}`;
    const rule = `add rule ${chain} ${ruleOf(after)}`;
    if (before !== null) return [`flush chain ${chain}`, rule];
    return [`add chain ${chain}`, rule, `add element ip ${table} ports { ${elementOf(after)} }`];
  });
  return `${lines.join('\n')}\n`;
}

function removalOf(table: string, forward: Forward): string[] {
  return [
    `delete element ip ${table} ports { ${elementOf(forward)} }`,
    `flush chain ip ${table} ${chainOf(forward)}`,
    `delete chain ip ${table} ${chainOf(forward)}`,
  ];
}

/** Each new connection is looked up once; the kernel remembers the result. */
function tableText(
  table: string,
  forwards: readonly Forward[],
  { bridge, subnet, exposeAddress }: NetworkSpec,
): string {
  const local = exposeAddress === '0.0.0.0' ? 'fib daddr type local' : `ip daddr ${exposeAddress}`;
  const chains = forwards.map((forward) => `chain ${chainOf(forward)} { ${ruleOf(forward)}; }`);
  return `
table ip ${table} {
  ${chains.join('\n  ')}
  map ports {
    type inet_proto . inet_service : verdict;
    elements = { ${forwards.map(elementOf).join(', ')} };
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    ${local} meta l4proto . th dport vmap @ports
  }
  chain output {
    type nat hook output priority -100; policy accept;
    ${local} meta l4proto . th dport vmap @ports
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 127.0.0.0/8 oifname "${bridge}" ct status dnat masquerade
    ip saddr ${subnet} oifname "${bridge}" ct status dnat masquerade
  }
}
`;
}

/** The rotation starts at a random backend: otherwise the first one would get more connections than the others. */
function ruleOf({ protocol, hostPort, targets }: Forward): string {
  const match = `${protocol} dport ${hostPort} dnat ip to`;
  const [first] = targets;
  if (targets.length === 1 && first !== undefined) return `${match} ${first.address}:${first.port}`;
  const start = Math.floor(Math.random() * targets.length);
  const turns = [...targets.slice(start), ...targets.slice(0, start)].map(
    ({ address, port }, turn) => `${turn} : ${address} . ${port}`,
  );
  return `${match} numgen inc mod ${targets.length} map { ${turns.join(', ')} }`;
}
