// host, network: which of the network changes that the kernel reports concern this daemon's network. Pure.

import type { NetworkChange } from '../jobs/native.ts';

/**
 * Returns the name of the tap that was lost, `{ tapName: null }` for any other part of the guests' network, and null
 * for a change that does not concern it.
 */
export function lostPartOf(
  { kind, name }: NetworkChange,
  hostTag: string,
  bridge: string,
): { readonly tapName: string | null } | null {
  const host = { tapName: null };
  if (kind === 'missed') return host;
  const table = `volant_${hostTag}`;
  const egress = `${table}_egress`;
  if (kind === 'table') return [table, `${table}_ports`, egress].includes(name) ? host : null;
  // Rules of published ports come and go with the ports, and rules of policies with their guests.
  if (kind === 'rule') return name === table ? host : null;
  // The first bridge is not a port of another bridge.
  if (name === bridge) return kind === 'loose' ? null : host;
  if (kind === 'address') return null;
  if (name.startsWith(`vt${hostTag}-`)) return { tapName: name };
  const isSecondary = name.startsWith(`vb${hostTag}-`);
  const isVeth = name.startsWith(`vu${hostTag}-`) || name.startsWith(`vd${hostTag}-`);
  return isVeth || (isSecondary && kind !== 'loose') ? host : null;
}
