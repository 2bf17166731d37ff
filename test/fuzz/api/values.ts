// fuzz, api: values for the schemas of the OpenAPI document: right ones, and copies with something wrong whose place is
// known. What a value means is not known here: hints give the members that must fit to the rest of the world.

import { join, keyOf } from '../../../src/lib/formats/member-path.ts';
import type { Random } from '../mutate.ts';

// biome-ignore lint/suspicious/noExplicitAny: a JSON document, whatever it holds
export type Json = any;

/** The value of a member by its path and schema; undefined leaves it to the schema. */
export type Hints = (path: string, schema: Json) => unknown;

const OPTIONAL_IN = 6;
const ITEMS_MAX = 3;
/** Deeper members are left out, so that a value comes to an end. */
const LEVELS_MAX = 8;
const WORDS = [
  'a',
  'web-1',
  'Grüße',
  '日本語',
  '\u{1f600}',
  '/etc/passwd',
  '0',
  '%s',
  "'",
  '<b>',
  'a b',
];

export class Values {
  readonly #document: Json;
  readonly #random: Random;
  readonly #hints: Hints;

  constructor(document: Json, random: Random, hints: Hints) {
    this.#document = document;
    this.#random = random;
    this.#hints = hints;
  }

  /** What a reference leads to. */
  resolved(schema: Json): Json {
    if (schema.$ref === undefined) return schema;
    const [, ...steps] = schema.$ref.split('/');
    return steps.reduce((at: Json, step: string) => at[step], this.#document);
  }

  /** A value that the schema allows. */
  right(reference: Json, path = ''): unknown {
    const schema = this.resolved(reference);
    const hinted = this.#hints(path, schema);
    if (hinted !== undefined) return hinted;
    if (schema.nullable === true && this.#random.below(12) === 0) return null;
    if (schema.oneOf !== undefined) return this.right(this.#random.pick(schema.oneOf), path);
    if (schema.enum !== undefined) return this.#random.pick(schema.enum);
    switch (schema.type) {
      case 'object':
        return this.#object(schema, path);
      case 'array':
        return Array.from({ length: this.#random.below(ITEMS_MAX) }, (_, index) =>
          this.right(schema.items, join(path, `[${index}]`)),
        );
      case 'string':
        return this.#text(schema);
      case 'integer':
      case 'number':
        return this.#number(schema);
      case 'boolean':
        return this.#random.below(2) === 0;
      default:
        return this.#anything(2);
    }
  }

  /** A copy with wrong members, and their paths. null where the schema has nothing that could be wrong. */
  wrong(schema: Json, value: unknown): { value: unknown; paths: readonly string[] } | null {
    const places = this.#places(schema, value, '');
    if (places.length === 0) return null;
    const chosen: Place[] = [];
    let changed = value;
    for (let count = 1 + this.#random.below(3); count > 0; count -= 1) {
      const place = this.#random.pick(places);
      const isApart = chosen.every(
        ({ path }) => !isBelow(path, place.path) && !isBelow(place.path, path),
      );
      if (!isApart) continue;
      chosen.push(place);
      changed = replaced(changed, place.steps, this.#wrongFor(place.schema));
    }
    const paths = chosen.map(({ path }) => path || 'body');
    return { value: changed, paths };
  }

  /** Any JSON at all, with what parsers stumble over. */
  #anything(levels: number): unknown {
    const kind = this.#random.below(levels > 0 ? 9 : 7);
    if (kind === 7) return [this.#anything(levels - 1), this.#anything(levels - 1)];
    if (kind === 8) return { [this.#random.pick(WORDS)]: this.#anything(levels - 1) };
    return [null, true, 0, -1.5, 9007199254740991, '', this.#random.pick(WORDS)][kind];
  }

  #object(schema: Json, path: string): object {
    const value: Record<string, unknown> = {};
    if (path.split('.').length > LEVELS_MAX) return value;
    const required: readonly string[] = schema.required ?? [];
    for (const [name, member] of Object.entries<Json>(schema.properties ?? {})) {
      const at = join(path, keyOf(name));
      const isThere = required.includes(name) || this.#random.below(OPTIONAL_IN) === 0;
      if (isThere) value[name] = this.right(member, at);
    }
    if (typeof schema.additionalProperties === 'object') {
      for (let count = this.#random.below(3); count > 0; count -= 1) {
        const key = `${this.#random.pick(['a', 'B_2', 'c-3'])}${count}`;
        value[key] = this.right(schema.additionalProperties, join(path, keyOf(key)));
      }
    }
    return value;
  }

  #text({ pattern, minLength = 0, maxLength = 64 }: Json): string {
    if (pattern !== undefined) return this.#matching(pattern);
    const text = this.#random.pick(['', ...WORDS, 'x'.repeat(60)]);
    return text.padEnd(minLength, 'y').slice(0, maxLength);
  }

  /** Of a pattern some text is tried; the patterns of the document are few and simple. */
  #matching(pattern: string): string {
    const matcher = new RegExp(pattern);
    const candidates = [
      ...['', 'a1', '8080', '10.0.0.9', '0000:01:00.0', '10de:*', 'v1.2'],
      ...[`sha256:${'0f'.repeat(32)}`, '0123456789abcdef'.repeat(4), 'localhost'],
    ].filter((text) => matcher.test(text));
    return candidates.length === 0 ? '' : this.#random.pick(candidates);
  }

  #number({ minimum = -10, maximum = 1_000_000, type }: Json): number {
    const edge = this.#random.below(4);
    if (edge === 0) return minimum;
    if (edge === 1) return maximum;
    const number = minimum + this.#random.below(Math.min(maximum - minimum, 4096) + 1);
    return type === 'number' && this.#random.below(2) === 0 && number < maximum
      ? number + 0.5
      : number;
  }

  /** Where a value can be made wrong: members that are there, and required ones that can be taken out. */
  #places(reference: Json, value: unknown, path: string, steps: readonly string[] = []): Place[] {
    const schema = this.resolved(reference);
    const isFree = schema.type === undefined && schema.enum === undefined;
    const here: Place[] = isFree ? [] : [{ path, steps, schema }];
    if (Array.isArray(value)) {
      const inner = value.flatMap((item, index) =>
        this.#places(schema.items ?? {}, item, join(path, `[${index}]`), [...steps, String(index)]),
      );
      return [...here, ...inner];
    }
    if (typeof value !== 'object' || value === null) return here;
    const inner = Object.entries(value).flatMap(([key, member]) => {
      const others =
        typeof schema.additionalProperties === 'object' ? schema.additionalProperties : {};
      const of = schema.properties?.[key] ?? others;
      return this.#places(of, member, join(path, keyOf(key)), [...steps, key]);
    });
    const required = ((schema.required ?? []) as string[]).filter(
      (key) => !MAY_BE_ELSEWHERE.includes(key),
    );
    const missing = required.map((key) => ({
      path: join(path, keyOf(key)),
      steps: [...steps, key],
      schema: MISSING,
    }));
    return [...here, ...inner, ...missing];
  }

  #wrongFor(schema: Json): unknown {
    if (schema === MISSING) return undefined;
    const { type, minimum, maximum, maxLength, minLength, pattern } = schema;
    const candidates: unknown[] = [[[0]], { no: 1 }, 'no', 1.5, true].filter(
      (value) => !isOfType(value, type),
    );
    if (schema.nullable !== true) candidates.push(null);
    if (minimum !== undefined) candidates.push(minimum - 1);
    if (maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER) candidates.push(maximum + 1);
    if (type === 'integer') candidates.push(0.5);
    if (schema.enum !== undefined) candidates.push('none of these', 'Ω');
    if (pattern !== undefined) {
      candidates.push(
        ...['\0', 'Ω', ' a b ', '/'].filter((text) => !new RegExp(pattern).test(text.trim())),
      );
    }
    if (maxLength !== undefined) candidates.push('z'.repeat(maxLength + 1));
    if (minLength > 0) candidates.push('');
    return this.#random.pick(candidates);
  }
}

const MISSING = { missing: true };

/** Asked for by the document only: older clients say it in another member. */
const MAY_BE_ELSEWHERE = ['plugin'];

interface Place {
  readonly path: string;
  readonly steps: readonly string[];
  readonly schema: Json;
}

function isOfType(value: unknown, type: string): boolean {
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return typeof value === 'object' && !Array.isArray(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}

/** Whether one path is the other, or leads through it. */
export function isBelow(path: string, above: string): boolean {
  return (
    above === '' ||
    path === above ||
    (path.startsWith(above) && ['.', '['].includes(path[above.length] ?? ''))
  );
}

/** A copy with another member; undefined takes it out. */
function replaced(value: unknown, steps: readonly string[], member: unknown): unknown {
  const [step, ...others] = steps;
  if (step === undefined) return member;
  if (Array.isArray(value)) {
    return value.map((item, index) =>
      String(index) === step ? replaced(item, others, member) : item,
    );
  }
  const { [step]: before, ...rest } = (value ?? {}) as Record<string, unknown>;
  const after = replaced(before, others, member);
  return after === undefined ? rest : { ...rest, [step]: after };
}
