// fuzz, api: one request for an operation of the OpenAPI document: right, wrong at places that are known, or hostile. The
// same random numbers make the same request. What the answers must be is the business of judge.ts.

import type { Random } from '../mutate.ts';
import { bodyHints, type World } from './hints.ts';
import {
  hostileBody,
  hostileHeaders,
  hostileMethod,
  hostilePath,
  hostileQuery,
} from './hostile.ts';
import { type Json, Values } from './values.ts';

export interface Operation {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly description: Json;
}

export interface FuzzRequest {
  readonly operation: Operation;
  readonly method: string;
  readonly target: string;
  readonly headers: readonly (readonly [string, string])[];
  /** null: without one. */
  readonly body: Buffer | null;
  /** The body as it was meant; undefined where it is no JSON, or nothing for the operation. */
  readonly value: unknown;
  /** right: all is as the document allows. wrong: `paths` are not. hostile: anything. */
  readonly kind: 'right' | 'wrong' | 'hostile';
  /** Members and parameters that are wrong: each must be named. */
  readonly paths: readonly string[];
  readonly isUpgrade: boolean;
}

export function operationsOf(document: Json): readonly Operation[] {
  return Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
    Object.entries<Json>(methods).map(([method, description]) => ({
      id: description.operationId,
      method: method.toUpperCase(),
      path,
      description,
    })),
  );
}

/** Operations that make and change things are asked for more often. */
const BUSY = [
  'createVM',
  'destroyVM',
  'updateVMConfig',
  'createDeployment',
  'scaleDeployment',
  'installPlugin',
];

export class Requests {
  readonly #document: Json;
  readonly #operations: readonly Operation[];
  readonly #busy: readonly Operation[];

  constructor(document: Json) {
    this.#document = document;
    this.#operations = operationsOf(document);
    this.#busy = this.#operations.filter(({ id }) => BUSY.includes(id));
  }

  make(random: Random, world: World): FuzzRequest {
    const operation = random.pick(random.below(3) === 0 ? this.#busy : this.#operations);
    const right = this.#right(operation, random, world);
    const chance = random.below(10);
    if (chance < 4) return right;
    if (chance < 7) return this.#wrong(right, random, world);
    return this.#hostile(right, random);
  }

  #right(operation: Operation, random: Random, world: World): FuzzRequest {
    const values = new Values(this.#document, random, bodyHints(operation.id, random, world));
    const query: string[] = [];
    const headers: [string, string][] = [];
    let target = operation.path;
    for (const { in: place, name, schema, required } of operation.description.parameters ?? []) {
      if (place === 'path') {
        const value = world.parameter(name, operation.id, random);
        target = target.replace(`{${name}}`, encodeURIComponent(value));
        continue;
      }
      if (required !== true && random.below(4) !== 0) continue;
      const hinted = world.query(name, operation.id, random);
      const value = hinted ?? values.right(schema, name);
      if (place === 'query') query.push(`${name}=${encodeURIComponent(textOf(value))}`);
      else headers.push([name, Buffer.from(textOf(value)).toString('latin1')]);
    }
    if (isWaiting(operation) && !query.some((part) => part.startsWith('timeout='))) {
      query.push('timeout=1500');
    }
    const schema = operation.description.requestBody?.content?.['application/json']?.schema;
    const value = schema === undefined ? undefined : values.right(schema);
    if (value !== undefined) headers.push(['Content-Type', 'application/json']);
    return {
      operation,
      method: operation.method,
      target: query.length === 0 ? target : `${target}?${query.join('&')}`,
      headers,
      body: value === undefined ? null : Buffer.from(JSON.stringify(value)),
      value,
      kind: 'right',
      paths: [],
      isUpgrade: false,
    };
  }

  /** Members of the body that are wrong, or parameters. */
  #wrong(right: FuzzRequest, random: Random, world: World): FuzzRequest {
    const { operation } = right;
    const values = new Values(this.#document, random, bodyHints(operation.id, random, world));
    const schema = operation.description.requestBody?.content?.['application/json']?.schema;
    if (schema !== undefined && random.below(4) !== 0) {
      const changed = values.wrong(schema, right.value);
      if (changed === null) return right;
      const body = Buffer.from(JSON.stringify(changed.value) ?? '');
      return { ...right, kind: 'wrong', body, value: changed.value, paths: changed.paths };
    }
    const checked = ((operation.description.parameters ?? []) as Json[]).filter(
      (parameter) => parameter.in === 'query' && isChecked(values.resolved(parameter.schema)),
    );
    if (checked.length === 0) return right;
    const count = 1 + random.below(2);
    const chosen = new Map<string, string>();
    for (let index = 0; index < count; index += 1) {
      const { name, schema: wanted } = random.pick(checked);
      chosen.set(name, wrongText(values.resolved(wanted), random));
    }
    const [path = '', query = ''] = right.target.split('?');
    const kept = query
      .split('&')
      .filter((part) => part !== '' && !chosen.has(part.split('=')[0] ?? ''));
    const added = [...chosen].map(([name, text]) => `${name}=${encodeURIComponent(text)}`);
    return {
      ...right,
      target: `${path}?${[...kept, ...added].join('&')}`,
      kind: 'wrong',
      paths: [...chosen.keys()],
    };
  }

  #hostile(right: FuzzRequest, random: Random): FuzzRequest {
    let { method, target, headers, body } = right;
    let isUpgrade = false;
    for (let count = 1 + random.below(2); count > 0; count -= 1) {
      switch (random.below(7)) {
        case 0:
          method = hostileMethod(random);
          break;
        case 1:
          target = hostilePath(random, target);
          break;
        case 2:
          target = hostileQuery(random, target);
          break;
        case 3:
          headers = hostileHeaders(random, headers);
          break;
        case 4:
          isUpgrade = true;
          headers = [...headers, ...upgradeHeaders(random)];
          break;
        default:
          body = hostileBody(random, body);
          if (!headers.some(([name]) => name === 'Content-Type')) {
            headers = [...headers, ['Content-Type', 'application/json']];
          }
      }
    }
    return {
      ...right,
      method,
      target,
      headers,
      body,
      value: undefined,
      kind: 'hostile',
      isUpgrade,
    };
  }
}

/** As it is sent. Framing is right: what is wrong with it is in framing.ts. */
export function bytesOf({ method, target, headers, body }: FuzzRequest, host: string): Buffer {
  const lines = [`${method} ${target} HTTP/1.1`, `Host: ${host}`];
  for (const [name, value] of headers) lines.push(`${name}: ${value}`);
  if (body !== null) lines.push(`Content-Length: ${body.length}`);
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  return body === null ? head : Buffer.concat([head, body]);
}

function upgradeHeaders(random: Random): [string, string][] {
  return [
    ['Connection', random.pick(['Upgrade', 'keep-alive, Upgrade', 'upgrade'])],
    ['Upgrade', random.pick(['websocket', 'WebSocket', 'h2c', 'none'])],
    ['Sec-WebSocket-Version', random.pick(['13', '8', ''])],
    ['Sec-WebSocket-Key', random.pick(['dGhlIHNhbXBsZSBub25jZQ==', 'short', 'x'.repeat(300)])],
  ];
}

function isWaiting({ description }: Operation): boolean {
  return ((description.parameters ?? []) as Json[]).some(({ name }) => name === 'timeout');
}

/** A parameter that has a wrong value. */
function isChecked(schema: Json): boolean {
  return (
    schema.enum !== undefined ||
    ['integer', 'boolean'].includes(schema.type) ||
    (schema.type === 'array' && isChecked(schema.items))
  );
}

function wrongText(schema: Json, random: Random): string {
  if (schema.type === 'array') return wrongText(schema.items, random);
  const none = [
    'none',
    'Ω',
    '-1',
    '1.5',
    '0x10',
    '1e3',
    'null',
    '99999999999999999999',
    "'",
    '{}',
    '[]',
  ];
  if (schema.type === 'boolean') return random.pick([...none, '2', 'tru', 'yes!']);
  if (schema.type === 'integer') {
    const { maximum } = schema;
    return random.pick(maximum === undefined ? none : [...none, String(maximum + 2)]);
  }
  return random.pick(none);
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.map(textOf).join(',');
  return typeof value === 'string' ? value : JSON.stringify(value);
}
