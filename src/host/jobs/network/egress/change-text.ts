// jobs, network, egress: the text of a change of guests in the tables: only what differs is written. Pure. The tables as a
// whole are in tables.ts.

import { LIMITS } from '../../../../config/limits.ts';
import type { EgressGuest } from '../../../../engine/ports/network-ports.ts';
import { type EgressPolicy, hasNames } from '../../../../lib/net/egress.ts';
import type { ResolverPort } from '../../protocol.ts';
import { learnedSetsOf, learnedSetTexts, policyRules } from './policy-text.ts';
import {
  policiesOf,
  policyElement,
  resolverElements,
  senderElement,
  tapElement,
} from './tables.ts';

export interface GuestChange {
  /** The guests that are in the tables and shall not be, as they are there. */
  readonly left: readonly EgressGuest[];
  readonly admitted: readonly EgressGuest[];
  /** The guests that are in the tables before and after. */
  readonly staying: readonly EgressGuest[];
}

export interface LookUps {
  readonly resolvers: readonly ResolverPort[];
  /** The name servers of guests, and the host's own address. */
  readonly nameServers: readonly string[];
}

/** The text, and the policies that it adds. A guest whose rules change keeps its counts. */
export function changeText(
  table: string,
  { left, admitted, staying }: GuestChange,
  { resolvers, nameServers }: LookUps,
): { readonly text: string; readonly added: readonly string[] } {
  const [ip, bridge] = [`ip ${table}`, `bridge ${table}`];
  const before = policiesOf([...left, ...staying]);
  const after = policiesOf([...admitted, ...staying]);
  const added = after.filter(({ id }) => !before.some((other) => other.id === id));
  const unused = before.filter(({ id }) => !after.some((other) => other.id === id));
  const had = new Set(left.map(keyOf));
  const has = new Set(admitted.map(keyOf));
  const gone = left.filter((guest) => !has.has(keyOf(guest)));
  const fresh = admitted.filter((guest) => !had.has(keyOf(guest)));
  const lines = [
    ...added.flatMap((policy) => [
      ...learnedSetTexts(policy, LIMITS.egressAddressesLearnedMax).map(
        (text) => `table ${ip} {\n  ${text}\n}`,
      ),
      `add chain ${ip} ${policy.id}`,
      ...policyRules(policy).map((rule) => `add rule ${ip} ${policy.id} ${rule}`),
    ]),
    ...left.map(({ ipAddress }) => `delete element ${ip} policies { ${ipAddress} }`),
    ...admitted.map((guest) => `add element ${ip} policies { ${policyElement(guest)} }`),
    ...resolverLines(ip, [...before, ...after], [...admitted, ...staying], {
      resolvers,
      nameServers,
    }),
    ...gone.flatMap((guest) => guestLines('delete', ip, bridge, guest)),
    ...fresh.flatMap((guest) => guestLines('add', ip, bridge, guest)),
    ...unused.flatMap((policy) => [
      `flush chain ${ip} ${policy.id}`,
      `delete chain ${ip} ${policy.id}`,
      ...learnedSetsOf(policy).flatMap(({ names }) =>
        names.map((name) => `delete set ${ip} ${name}`),
      ),
    ]),
  ];
  return {
    text: lines.length === 0 ? '' : `${lines.join('\n')}\n`,
    added: added.map(({ id }) => id),
  };
}

const keyOf = ({ tapName, ipAddress }: EgressGuest) => `${tapName} ${ipAddress}`;

function guestLines(
  verb: 'add' | 'delete',
  ip: string,
  bridge: string,
  guest: EgressGuest,
): readonly string[] {
  const { ipAddress } = guest;
  return [
    ...['passed', 'refused', 'guests'].map(
      (set) => `${verb} element ${ip} ${set} { ${ipAddress} }`,
    ),
    `${verb} element ${bridge} taps { ${tapElement(guest)} }`,
    `${verb} element ${bridge} senders { ${senderElement(guest)} }`,
    `${verb} element ${bridge} addresses { ${ipAddress} }`,
  ];
}

/** All of it, because only guests whose policies have names are in it. */
function resolverLines(
  ip: string,
  policies: readonly EgressPolicy[],
  guests: readonly EgressGuest[],
  { resolvers, nameServers }: LookUps,
): readonly string[] {
  if (!policies.some(hasNames)) return [];
  const elements = resolverElements(guests, resolvers);
  const ports = resolvers.map(({ port }) => port);
  return [
    `flush map ${ip} resolvers`,
    `flush set ${ip} resolver_ports`,
    `flush set ${ip} name_servers`,
    ...(elements.length === 0 ? [] : [`add element ${ip} resolvers { ${elements.join(', ')} }`]),
    ...(ports.length === 0 ? [] : [`add element ${ip} resolver_ports { ${ports.join(', ')} }`]),
    `add element ${ip} name_servers { ${nameServers.join(', ')} }`,
  ];
}
