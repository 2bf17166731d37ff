// schema: rules for egress rules beyond their shape, and their normal form. Pure. What an entry means is in lib/net/egress.ts.

import { LIMITS } from '../../config/limits.ts';
import {
  covers,
  type EgressEntry,
  type EgressRules,
  formatEgressEntry,
  parseEgressEntry,
} from '../../lib/net/egress.ts';
import type { EgressInput } from '../egress.ts';

/** An entry that is right, with its place in its list. */
interface Parsed {
  readonly entry: EgressEntry;
  readonly at: string;
}

/** Adds every problem of the rules, keyed by path. */
export function checkEgress(
  given: EgressInput | null | undefined,
  path: string,
  problems: Record<string, string>,
): void {
  if (!given) return;
  const otherwise = given.default?.trim().toLowerCase() ?? '';
  if (otherwise !== 'allow' && otherwise !== 'deny') {
    problems[`${path}.default`] = 'must be allow or deny';
  }
  const { allow = [], deny = [] } = given;
  const { egressEntriesMax, egressNamesMax } = LIMITS;
  if (allow.length + deny.length > egressEntriesMax) {
    problems[path] = `must have at most ${egressEntriesMax} entries in allow and deny together`;
    return;
  }
  const [allowed, denied] = [
    parsedList(allow, `${path}.allow`, problems),
    parsedList(deny, `${path}.deny`, problems),
  ];
  const names = [...allowed, ...denied].filter(({ entry }) => entry.kind === 'name');
  if (names.length > egressNamesMax) {
    problems[path] = `must have at most ${egressNamesMax} names in allow and deny together`;
  }
  for (const { entry, at } of denied) {
    if (entry.kind !== 'name' || entry.ports === null) continue;
    problems[at] = 'must have no port: the look-up of a denied name is refused, whatever it is for';
  }
  for (const { entry, at } of allowed) {
    const other = denied.find((one) => covers(one.entry, entry));
    if (other !== undefined) {
      problems[at] = `would have no effect: ${other.at} denies all of it, and deny counts first`;
    }
  }
}

function parsedList(
  texts: readonly string[],
  path: string,
  problems: Record<string, string>,
): readonly Parsed[] {
  const seen = new Map<string, string>();
  return texts.flatMap((text, index) => {
    const at = `${path}[${index}]`;
    const entry = parseEgressEntry(text);
    if (typeof entry === 'string') {
      problems[at] = entry;
      return [];
    }
    const normal = formatEgressEntry(entry);
    const other = seen.get(normal);
    if (other !== undefined) problems[at] = `is the same as ${other}`;
    seen.set(normal, at);
    return [{ entry, at }];
  });
}

/** The normal form of rules that were checked; undefined for none. */
export function normalEgress(given: EgressInput | null | undefined): EgressRules | undefined {
  if (!given) return undefined;
  const normal = (texts: readonly string[] = []) =>
    texts.map((text) => {
      const entry = parseEgressEntry(text);
      return typeof entry === 'string' ? text : formatEgressEntry(entry);
    });
  return {
    default: given.default?.trim().toLowerCase() === 'deny' ? 'deny' : 'allow',
    allow: normal(given.allow),
    deny: normal(given.deny),
  };
}
