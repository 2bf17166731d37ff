// schema: texts and numbers that break the documented rules: not one of the words, another pattern, out of bounds. The rules
// of the nouns refuse them, too, but only in a value of the right shape. For a value of a wrong shape, this file reports them
// together with the wrong shape. Pure.

import type { TSchema } from 'typebox';
import { join, keyOf } from '../../lib/formats/member-path.ts';
import { NAME_PATTERN, NAME_RULE } from '../parts.ts';
import { inNormalForm } from './normal-form.ts';

interface Shape {
  readonly anyOf?: readonly (Shape & { readonly type?: string })[];
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly additionalProperties?: Shape | boolean;
  readonly items?: Shape;
  readonly documented?: {
    readonly enum?: readonly string[];
    readonly pattern?: string;
    readonly minimum?: number;
    readonly maximum?: number;
  };
}

/** Problems by path. Members of a wrong type are skipped: the validator reports them. */
export function documentedProblems(
  schema: TSchema,
  value: unknown,
): Readonly<Record<string, string>> {
  const found = new Map<string, string>();
  visit(schema as Shape, value, '', found);
  return Object.fromEntries(found);
}

function visit(shape: Shape, value: unknown, path: string, found: Map<string, string>): void {
  const inner = shape.anyOf?.find(({ type }) => type !== 'null') ?? shape;
  if (typeof value === 'string' || typeof value === 'number') {
    const problem =
      typeof value === 'string' ? problemOfText(inner, value) : problemOfNumber(inner, value);
    if (problem !== null) found.set(path || 'body', problem);
  } else if (Array.isArray(value)) {
    if (inner.items === undefined) return;
    for (const [index, item] of value.entries())
      visit(inner.items, item, join(path, `[${index}]`), found);
  } else if (typeof value === 'object' && value !== null) {
    const { properties = {}, additionalProperties: others } = inner;
    for (const [key, member] of Object.entries(value)) {
      const known = Object.hasOwn(properties, key) ? properties[key] : undefined;
      const of = known ?? (typeof others === 'object' ? others : undefined);
      if (of !== undefined) visit(of, member, join(path, keyOf(key)), found);
    }
  }
}

/** Empty texts count as absent; the validator reports missing members. */
function problemOfText(shape: Shape, text: string): string | null {
  const { enum: words, pattern } = shape.documented ?? {};
  const normal = inNormalForm(shape as TSchema, text);
  if (normal.trim() === '') return null;
  if (words !== undefined) {
    return words.includes(normal) ? null : `must be one of ${words.join(', ')}`;
  }
  if (pattern === undefined || new RegExp(pattern).test(normal)) return null;
  return pattern === NAME_PATTERN ? `must be ${NAME_RULE}` : `must match ${pattern}`;
}

function problemOfNumber(shape: Shape, number: number): string | null {
  const { minimum, maximum } = shape.documented ?? {};
  if (minimum !== undefined && number < minimum) return `must be >= ${minimum}`;
  return maximum !== undefined && number > maximum ? `must be <= ${maximum}` : null;
}
