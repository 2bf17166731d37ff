// schema: converts texts that are accepted in several forms to the documented one: one of its words, without surrounding
// blanks. Stored and returned texts have this form. Pure. The rules of each noun check whether a text is valid.

import type { TSchema } from 'typebox';

/** The parts of a schema that are used here. */
interface Shape {
  readonly anyOf?: readonly (Shape & { readonly type?: string })[];
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly additionalProperties?: Shape | boolean;
  readonly items?: Shape;
  readonly documented?: { readonly enum?: readonly string[]; readonly pattern?: string };
}

/**
 * A value of this schema in its normal form. An empty text in place of a word is removed from its object, since it has no
 * meaning. A text that is not a form of any word is returned unchanged.
 */
export function inNormalForm<T>(schema: TSchema, value: T): T {
  return normal(schema as Shape, value) as T;
}

function normal(shape: Shape, value: unknown): unknown {
  const inner = shape.anyOf?.find(({ type }) => type !== 'null');
  if (inner !== undefined) return normal(inner, value);
  if (typeof value === 'string') return normalText(shape.documented, value);
  if (Array.isArray(value)) {
    const { items } = shape;
    return items === undefined ? value : value.map((item) => normal(items, item));
  }
  return typeof value === 'object' && value !== null ? normalObject(shape, value) : value;
}

function normalText(documented: Shape['documented'], text: string): string {
  const { enum: words, pattern } = documented ?? {};
  if (words === undefined) return pattern === undefined ? text : text.trim();
  const asked = text.trim().toLowerCase();
  return words.find((word) => word.toLowerCase() === asked) ?? text;
}

function normalObject(shape: Shape, value: object): object {
  const { properties = {}, additionalProperties: others } = shape;
  const members = Object.entries(value).flatMap(([key, member]) => {
    const known = Object.hasOwn(properties, key) ? properties[key] : undefined;
    const schema = known ?? (typeof others === 'object' ? others : undefined);
    if (schema === undefined) return [[key, member]];
    const isUnsaid = typeof member === 'string' && member.trim() === '' && schema.documented?.enum;
    return isUnsaid ? [] : [[key, normal(schema, member)]];
  });
  return Object.fromEntries(members);
}
