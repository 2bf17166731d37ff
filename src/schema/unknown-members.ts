// schema: finds and removes members of a value that its schema does not know. The caller decides between a warning and a
// refusal.

import type { TSchema } from 'typebox';
import type { Problems } from '../lib/formats/member-path.ts';
import { join, keyOf } from '../lib/formats/member-path.ts';

/** Maximum number of unknown members that are reported. */
const UNKNOWN_MAX = 64;

/** Longer names get no suggestion: they are unlikely to be typing errors. */
const SLIP_CHARACTERS_MAX = 40;

/** The parts of a schema that are used here. */
interface Node {
  readonly type?: unknown;
  readonly anyOf?: readonly Node[];
  readonly items?: Node;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
}

/**
 * Removes the members of a value that its schema does not know, and returns them by path. So an ignored member is neither
 * stored nor returned. An object whose schema names no members may have any.
 */
export function takeUnknownMembers(schema: TSchema, value: unknown): Problems {
  const found = new Map<string, string>();
  visit(schema as Node, value, '', found);
  return Object.fromEntries(found);
}

/** The message about an unknown name. */
export function unknownText(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  return meant === undefined ? 'is not known' : `is not known; did you mean ${meant}?`;
}

/** The warning about an ignored member: its path, and its unknownText(). */
export function ignoredText([path, text]: readonly [string, string]): string {
  return `${path} ${text.replace('is not known', 'is not known and was ignored')}`;
}

function visit(schema: Node, value: unknown, path: string, found: Map<string, string>): void {
  if (typeof value !== 'object' || value === null) return;
  const { properties, items, additionalProperties } = withoutNull(schema);
  if (Array.isArray(value)) {
    if (items === undefined) return;
    for (const [index, item] of value.entries()) visit(items, item, `${path}[${index}]`, found);
    return;
  }
  const members = value as Record<string, unknown>;
  for (const [key, member] of Object.entries(members)) {
    const at = join(path, keyOf(key));
    const known = properties !== undefined && Object.hasOwn(properties, key);
    const inner = known ? properties[key] : additionalProperties;
    if (typeof inner === 'object') {
      visit(inner, member, at, found);
    } else if (inner !== true && properties !== undefined && Object.keys(properties).length > 0) {
      if (found.size < UNKNOWN_MAX) found.set(at, unknownText(key, Object.keys(properties)));
      delete members[key];
    }
  }
}

/** A nullable schema is a union of itself and null. */
function withoutNull(schema: Node): Node {
  const branches = schema.anyOf?.filter(({ type }) => type !== 'null');
  return branches?.length === 1 && branches[0] !== undefined ? branches[0] : schema;
}

/** The known name that differs in one or two characters; undefined if there is none. */
function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.length > SLIP_CHARACTERS_MAX) return undefined;
  const word = name.toLowerCase();
  const [best] = known
    .map((candidate) => ({ candidate, distance: distanceOf(word, candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= (candidate.length > 4 ? 2 : 1))
    .sort((one, other) => one.distance - other.distance);
  return best?.candidate;
}

/** The number of characters to add, drop or replace to turn one word into the other (Levenshtein). */
function distanceOf(one: string, other: string): number {
  let above = Array.from({ length: other.length + 1 }, (_, column) => column);
  for (const [row, letter] of [...one].entries()) {
    const line = [row + 1];
    for (let column = 0; column < other.length; column += 1) {
      const exchanged = (above[column] ?? 0) + (letter === other[column] ? 0 : 1);
      line.push(Math.min(exchanged, (above[column + 1] ?? 0) + 1, (line[column] ?? 0) + 1));
    }
    above = line;
  }
  return above.at(-1) ?? 0;
}
