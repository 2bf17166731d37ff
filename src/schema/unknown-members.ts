// schema: members of a value that its schema does not know. What is done about them, a warning or a
// refusal, is the business of whoever asks.

import type { TSchema } from 'typebox';
import { join, keyOf, type Problems } from './validate.ts';

/** So many are told; a client that sends more has another kind of trouble. */
const UNKNOWN_MAX = 64;

/** A longer word is no slip of somebody who meant another. */
const SLIP_CHARACTERS_MAX = 40;

/** The parts of a schema that are looked at. */
interface Node {
  readonly type?: unknown;
  readonly anyOf?: readonly Node[];
  readonly items?: Node;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
}

/**
 * Takes the members out of a value that its schema does not know, and tells which they were, by path: what
 * is ignored is then nowhere, neither stored nor given out again. An object whose schema names no members
 * may have any.
 */
export function takeUnknownMembers(schema: TSchema, value: unknown): Problems {
  const found = new Map<string, string>();
  visit(schema as Node, value, '', found);
  return Object.fromEntries(found);
}

/** What is said of a name that is not one of those that are known. */
export function unknownText(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  return meant === undefined ? 'is not known' : `is not known; did you mean ${meant}?`;
}

/** The warning about what was ignored: its path, and what unknownText said of it. */
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

/** What may be null is a union of itself and null. */
function withoutNull(schema: Node): Node {
  const branches = schema.anyOf?.filter(({ type }) => type !== 'null');
  return branches?.length === 1 && branches[0] !== undefined ? branches[0] : schema;
}

/** The known name that differs in one or two characters; undefined where none does. */
function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.length > SLIP_CHARACTERS_MAX) return undefined;
  const word = name.toLowerCase();
  const [best] = known
    .map((candidate) => ({ candidate, distance: distanceOf(word, candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= (candidate.length > 4 ? 2 : 1))
    .sort((one, other) => one.distance - other.distance);
  return best?.candidate;
}

/** Characters to add, drop or exchange to make one word of the other (Levenshtein). */
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
