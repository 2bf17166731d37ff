// test helpers: checks an answer against the OpenAPI document: status, content type, headers, and each member of its body.
// A member that the document does not name is a problem, too, because some generated clients refuse such an answer.

import { type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';

// biome-ignore lint/suspicious/noExplicitAny: a JSON document, whatever it holds
type Json = any;

interface DescribedAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

interface Found {
  readonly operationId: string;
  readonly operation: Json;
}

export class DocumentChecker {
  readonly #document: Json;
  readonly #routes: readonly (Found & { readonly method: string; readonly matcher: RegExp })[];
  readonly #validators = new Map<Json, ReturnType<typeof Compile>>();
  readonly #seen = new Map<string, Set<number>>();

  constructor(document: Json) {
    this.#document = document;
    this.#routes = Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
      Object.entries<Json>(methods).map(([method, operation]) => ({
        operationId: operation.operationId,
        operation,
        method: method.toUpperCase(),
        matcher: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`),
      })),
    );
  }

  /** The statuses that were checked, by operation. */
  get seen(): ReadonlyMap<string, ReadonlySet<number>> {
    return this.#seen;
  }

  get operationIds(): readonly string[] {
    return this.#routes.map(({ operationId }) => operationId);
  }

  /** True if a request is for an operation of the document. */
  knows(method: string, target: string): boolean {
    const path = target.split('?')[0] ?? '';
    return this.#routes.some((each) => each.method === method && each.matcher.test(path));
  }

  /** Problems of an answer to a request; empty if the document describes it. */
  check(method: string, target: string, answer: DescribedAnswer): readonly string[] {
    const path = target.split('?')[0] ?? '';
    const route = this.#routes.find((each) => each.method === method && each.matcher.test(path));
    if (route === undefined) return [`no operation is ${method} ${path}`];
    const { operationId, operation } = route;
    const statuses = this.#seen.get(operationId) ?? new Set();
    this.#seen.set(operationId, statuses.add(answer.status));
    const place = `${operationId} ${answer.status}`;
    const named = operation.responses[answer.status];
    if (named === undefined && answer.status < 400) return [`${place}: is not described`];
    const described = named ?? operation.responses.default;
    return [
      ...this.#headerProblems(described, answer.headers),
      ...this.#bodyProblems(described, answer),
    ].map((problem) => `${place}: ${problem}`);
  }

  /** Problems of a value that should match a component. */
  checkComponent(name: string, value: unknown): readonly string[] {
    return this.#problems({ $ref: `#/components/schemas/${name}` }, value);
  }

  #headerProblems(described: Json, headers: Headers): string[] {
    return Object.entries<Json>(described.headers ?? {}).flatMap(([name, header]) => {
      const { schema } = this.#resolved(header);
      const text = headers.get(name);
      if (text === null) return [];
      const value = schema.type === 'integer' ? Number(text) : text;
      return this.#problems(schema, value).map((problem) => `header ${name}: ${problem}`);
    });
  }

  #bodyProblems(described: Json, { headers, text }: DescribedAnswer): string[] {
    const type = headers.get('content-type')?.split(';')[0]?.trim();
    if (described.content === undefined) {
      // As the description of `strict` says.
      const isWarning = text.startsWith('{"warnings":[');
      return text === '' || isWarning ? [] : ['a body is not described'];
    }
    const names = Object.keys(described.content);
    const media = described.content[names.find((name) => name.split(';')[0] === type) ?? ''];
    if (media === undefined) return [`the content type ${type} is not described`];
    if (type !== 'application/json') return [];
    return this.#problems(media.schema, JSON.parse(text));
  }

  #problems(schema: Json, value: unknown): string[] {
    const validator = this.#validators.get(schema) ?? Compile(this.#converted(schema));
    this.#validators.set(schema, validator);
    if (validator.Check(value)) return [];
    return validator
      .Errors(value)
      .map(({ instancePath, message, params }) =>
        [instancePath || 'body', message, JSON.stringify(params)].join(' '),
      );
  }

  /** The target of a reference such as `#/components/headers/RequestId`. */
  #resolved(part: Json): Json {
    if (part.$ref === undefined) return part;
    const [, ...steps] = part.$ref.split('/');
    return steps.reduce((at: Json, step: string) => at[step], this.#document);
  }

  /** Converts the dialect of OpenAPI 3.0 to JSON Schema without references. */
  #converted(schema: Json): TSchema {
    if (schema.$ref !== undefined) return this.#converted(this.#resolved(schema));
    const { nullable, ...rest } = schema;
    const result: Json = { ...rest };
    if (rest.properties !== undefined) {
      const members = Object.entries<Json>(rest.properties);
      result.properties = Object.fromEntries(
        members.map(([name, member]) => [name, this.#converted(member)]),
      );
      result.additionalProperties ??= false;
    }
    if (rest.items !== undefined) result.items = this.#converted(rest.items);
    if (typeof rest.additionalProperties === 'object') {
      result.additionalProperties = this.#converted(rest.additionalProperties);
    }
    if (rest.oneOf !== undefined) {
      result.oneOf = rest.oneOf.map((member: Json) => this.#converted(member));
    }
    const plain = Type.Unsafe<unknown>(result);
    return nullable ? Type.Union([plain, Type.Null()]) : plain;
  }
}
