// workers: which of the kernel's news of the network concern this daemon's. Pure.

import type { NetworkChange } from './native.ts';

/** The tap that was lost; null in it is anything else of the guests' network. null: it is none of ours. */
export function lostPartOf(
  { kind, name }: NetworkChange,
  hostTag: string,
  bridge: string,
): { readonly tapName: string | null } | null {
  const host = { tapName: null };
  if (kind === 'missed') return host;
  const table = `volant_${hostTag}`;
  if (kind === 'table') return name === table || name === `${table}_ports` ? host : null;
  // Rules of host ports come and go with the ports.
  if (kind === 'rule') return name === table ? host : null;
  // The first bridge is no port of anything.
  if (name === bridge) return kind === 'loose' ? null : host;
  if (kind === 'address') return null;
  if (name.startsWith(`vt${hostTag}-`)) return { tapName: name };
  const isShard = name.startsWith(`vb${hostTag}-`);
  const isCable = name.startsWith(`vu${hostTag}-`) || name.startsWith(`vd${hostTag}-`);
  return isCable || (isShard && kind !== 'loose') ? host : null;
}
