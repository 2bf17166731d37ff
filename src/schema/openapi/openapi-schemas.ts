// schema: converts JSON Schema to the dialect of OpenAPI 3.0. A schema with an $id becomes a component of that name, and is
// referred to wherever it is used. openapi.ts describes operations. Pure.

export type Json = { [key: string]: unknown };

/** Collects the components of one document. */
export class Components {
  readonly #schemas = new Map<string, Json>();
  /** Components that may be null somewhere: OpenAPI 3.0 can mark a type as nullable, but not a reference. */
  readonly #nullable = new Set<string>();

  /** The JSON for a place in the document: a reference to a component, or the schema itself. */
  place(schema: unknown): Json {
    const { $id, ...members } = schema as Json;
    if (typeof $id !== 'string') return this.#convert(members);
    if (!this.#schemas.has($id)) {
      this.#schemas.set($id, {});
      this.#schemas.set($id, this.#convert(members));
    }
    return { $ref: `#/components/schemas/${$id}` };
  }

  /** All components of the document, by name. */
  all(): Json {
    const names = [...this.#schemas.keys()].sort();
    return Object.fromEntries(
      names.map((name) => {
        const nullable = this.#nullable.has(name) ? { nullable: true } : {};
        return [name, { ...this.#schemas.get(name), ...nullable }];
      }),
    );
  }

  #convert(schema: Json): Json {
    const { anyOf, patternProperties, documented, ...rest } = schema;
    if (Array.isArray(anyOf)) return this.#union(anyOf, rest);
    const result: Json = {};
    for (const [key, value] of Object.entries(rest)) result[key] = this.#member(key, value);
    if (patternProperties !== undefined) {
      result['additionalProperties'] = this.place(Object.values(patternProperties as Json)[0]);
    }
    return { ...result, ...(documented as Json | undefined) };
  }

  #member(key: string, value: unknown): unknown {
    if (key === 'properties') {
      const members = Object.entries(value as Json);
      return Object.fromEntries(members.map(([name, member]) => [name, this.place(member)]));
    }
    if (key === 'oneOf') return (value as unknown[]).map((member) => this.place(member));
    const isSchema =
      key === 'items' || (key === 'additionalProperties' && typeof value === 'object');
    return isSchema ? this.place(value) : value;
  }

  #union(members: readonly Json[], rest: Json): Json {
    const others = members.filter((member) => member['type'] !== 'null');
    if (others.length > 1) {
      return { ...rest, oneOf: others.map((member) => this.place(member)) };
    }
    const { $ref, ...placed } = this.place(others[0]);
    if ($ref === undefined) {
      const words = placed['enum'] === undefined ? {} : { enum: [...(placed['enum'] as []), null] };
      return { ...placed, ...words, nullable: true };
    }
    this.#nullable.add(String($ref).split('/').at(-1) ?? '');
    return { $ref };
  }
}

/**
 * A schema as plain JSON Schema, for readers that know no components: documented rules are included, names are left out.
 */
export function plainSchema(schema: unknown): Json {
  const { $id: _name, documented, ...members } = schema as Json;
  const plain: Json = {};
  for (const [key, value] of Object.entries({ ...members, ...(documented as Json | undefined) })) {
    plain[key] = plainMember(key, value);
  }
  return plain;
}

function plainMember(key: string, value: unknown): unknown {
  if (key === 'properties') {
    const members = Object.entries(value as Json);
    return Object.fromEntries(members.map(([name, member]) => [name, plainSchema(member)]));
  }
  if (key === 'anyOf' || key === 'oneOf') {
    return (value as unknown[]).map((member) => plainSchema(member));
  }
  const isSchema = key === 'items' || (key === 'additionalProperties' && typeof value === 'object');
  return isSchema ? plainSchema(value) : value;
}
