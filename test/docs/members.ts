// test helpers: the members of a JSON schema and of a value, as paths: `resources.cpu_cores`, `expose[].port`.

/** As much of a JSON schema as is looked at here. */
export interface Shape {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly items?: Shape;
  readonly anyOf?: readonly Shape[];
}

const WORDS: Readonly<Record<string, string>> = { string: 'text' };

/** What may be null, without its null. */
function given(shape: Shape): Shape {
  return shape.anyOf?.find(({ type }) => type !== 'null') ?? shape;
}

/** Every member that has no members of its own, by its path, with its type in the words of the page. */
export function membersOf(
  shape: Shape,
  path = '',
  whole: readonly string[] = [],
): [string, string][] {
  const { type = '', properties, items } = given(shape);
  if (whole.includes(path)) return [[path, type]];
  if (properties !== undefined) {
    return Object.entries(properties).flatMap(([name, member]) =>
      membersOf(member, path === '' ? name : `${path}.${name}`, whole),
    );
  }
  if (items?.properties !== undefined) return membersOf(items, `${path}[]`, whole);
  if (items !== undefined) return [[path, `list of ${WORDS[items.type ?? ''] ?? items.type}s`]];
  return [[path, WORDS[type] ?? type]];
}

/** The shape of a value, as if it were a schema. */
export function shapeOf(value: unknown): Shape {
  if (Array.isArray(value)) return { type: 'array', items: shapeOf(value[0]) };
  if (typeof value !== 'object' || value === null) return { type: typeof value };
  const properties = Object.entries(value).map(([name, member]) => [name, shapeOf(member)]);
  return { type: 'object', properties: Object.fromEntries(properties) };
}

/** A row or a member without members of its own says all that is below it. */
export function covers(row: string, member: string): boolean {
  return member === row || member.startsWith(`${row}.`) || member.startsWith(`${row}[]`);
}
