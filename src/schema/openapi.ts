// schema: the OpenAPI 3.0.3 document, generated from the table of operations. Pure. How schemas are written stands in
// openapi-schemas.ts.

import { type TSchema, Type } from 'typebox';
import { LIMITS } from '../config.ts';
import { EventSchema } from './event.ts';
import { Components, type Json } from './openapi-schemas.ts';
import {
  ANY_ERROR,
  KEYED_ERRORS,
  type Operation,
  type OperationAnswer,
  queryOf,
} from './operations/operation.ts';
import { OPERATIONS } from './operations.ts';
import { Int64, NAME_CHARACTERS_PATTERN } from './parts.ts';

const TAGS: Readonly<Record<string, string>> = {
  config: 'Configs of VMs',
  deployment: 'Sets of identical VMs that are kept alive',
  events: 'Streams of what happens',
  health: 'Whether the daemon can work',
  mcp: 'The endpoint for agents',
  plugins: 'Templates of VMs',
  status: 'Counts and load',
  system: 'The daemon and its host',
  vfio: 'PCI devices for VMs',
  vm: 'VMs and their life',
};

/** A daemon without keys asks for none. */
const SECURITY = [{ apiKey: [] }, { bearer: [] }, {}];

/** Of each path parameter. Those that are not here may be any text. */
const PATH_SCHEMAS: Readonly<Record<string, TSchema>> = {
  name: Type.String({ pattern: NAME_CHARACTERS_PATTERN }),
  plugin: Type.String({ pattern: NAME_CHARACTERS_PATTERN }),
};

const HEADER_SCHEMAS: Readonly<Record<string, { description: string; schema: TSchema }>> = {
  'Idempotency-Key': {
    description: 'A request that comes again with the same key is answered as the first was',
    schema: Type.String({
      pattern: '^[\\x21-\\x7e]+$',
      minLength: 1,
      maxLength: LIMITS.idempotencyKeyCharactersMax,
    }),
  },
  'If-Match': {
    description: 'Change only this version, an ETag of the config',
    schema: Type.String(),
  },
  'Last-Event-ID': {
    description: 'The number of the event that was seen last',
    schema: Int64(),
  },
  'Mcp-Protocol-Version': {
    description: 'The revision of the protocol that the client speaks',
    schema: Type.String(),
  },
  'Mcp-Method': { description: 'The method of the message, again', schema: Type.String() },
  'Mcp-Name': { description: 'What the message is about, again', schema: Type.String() },
};

/** Every answer has it. */
const REQUEST_ID = {
  description: "The request's id: the client's own X-Request-Id, or one that was made for it",
  schema: { type: 'string', minLength: 1, maxLength: LIMITS.requestIdCharactersMax },
};

const RETRY_AFTER = {
  'Retry-After': { description: 'Seconds; absent where nobody can say', schema: Int64() },
};

const REPLAYED = {
  'Idempotent-Replayed': {
    description: 'true: an earlier request of this Idempotency-Key was answered so',
    schema: Type.String({ enum: ['true'] }),
  },
};

/** The document of this daemon. `serverUrl` is where the reader found it. */
export function buildOpenApi(options: { version: string; serverUrl?: string }): Json {
  const components = new Components();
  // It is the data of streams, which no schema of an answer can tell.
  components.place(EventSchema);
  const paths: Record<string, Json> = {};
  for (const [operationId, operation] of Object.entries<Operation>(OPERATIONS)) {
    const path = paths[operation.path] ?? {};
    paths[operation.path] = path;
    path[operation.method.toLowerCase()] = describeOperation(operationId, operation, components);
  }
  return {
    openapi: '3.0.3',
    info: {
      title: 'Volant REST API',
      description: 'REST interface for the Volant microVM orchestration engine.',
      version: 'v1',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
      'x-daemon-version': options.version,
    },
    servers: [{ url: options.serverUrl ?? 'http://127.0.0.1:7777' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    security: SECURITY,
    paths,
    components: {
      schemas: components.all(),
      headers: { RequestId: REQUEST_ID },
      securitySchemes: {
        apiKey: { type: 'apiKey', in: 'header', name: 'X-Volant-API-Key' },
        bearer: { type: 'http', scheme: 'bearer' },
      },
    },
  };
}

function describeOperation(
  operationId: string,
  operation: Operation,
  components: Components,
): Json {
  const { summary, description, tags, request } = operation;
  const parameters = parametersOf(operation, components);
  const body = request && {
    required: true,
    content: { 'application/json': { schema: components.place(request.schema) } },
  };
  return {
    operationId,
    summary,
    description: description ?? `${summary}.`,
    tags,
    'x-scope': operation.scope,
    ...(operation.scope === 'none' ? { security: [] } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: body }),
    responses: answersOf(operation, components),
  };
}

function parametersOf(operation: Operation, components: Components): Json[] {
  const pathNames = [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
  return [
    ...pathNames.map((name) => ({
      in: 'path',
      name,
      required: true,
      schema: components.place(PATH_SCHEMAS[name] ?? Type.String({ minLength: 1 })),
    })),
    ...queryOf(operation).map(({ name, description, schema, required }) => ({
      in: 'query',
      name,
      description,
      ...(required === undefined ? {} : { required }),
      schema: components.place(schema),
    })),
    ...headersOf(operation).map((name) => {
      const { description, schema } = HEADER_SCHEMAS[name] ?? {
        description: name,
        schema: Type.String(),
      };
      return { in: 'header', name, description, schema: components.place(schema) };
    }),
  ];
}

/** Clients that may come twice with one request say so by an Idempotency-Key. */
function isKeyed({ method, request }: Operation): boolean {
  return method === 'POST' && request?.raw !== true;
}

function headersOf(operation: Operation): readonly string[] {
  const keyed = isKeyed(operation) ? ['Idempotency-Key'] : [];
  return [...keyed, ...(operation.headers ?? []).map(canonical)];
}

/** last-event-id -> Last-Event-ID, mcp-name -> Mcp-Name */
function canonical(header: string): string {
  const words = header.split('-').map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return words.join('-').replace(/-Id$/, '-ID');
}

function answersOf(operation: Operation, components: Components): Json {
  const keyed = isKeyed(operation);
  const answers = { ...(keyed ? KEYED_ERRORS() : {}), ...operation.answers };
  const described = Object.entries(answers).map(([status, answer]) => {
    const { headers } = answer;
    const more = {
      ...headers,
      ...(keyed && Number(status) < 300 ? REPLAYED : {}),
      ...(status === '503' ? RETRY_AFTER : {}),
    };
    return [status, describeAnswer({ ...answer, headers: more }, components)];
  });
  return { ...Object.fromEntries(described), default: describeAnswer(ANY_ERROR, components) };
}

function describeAnswer(answer: OperationAnswer, components: Components): Json {
  const { description, schema, contentType = 'application/json', otherwise, headers } = answer;
  const media = { ...(schema === undefined ? {} : { [contentType]: schema }), ...otherwise };
  const described = Object.entries(headers ?? {});
  return {
    description,
    headers: {
      'X-Request-Id': { $ref: '#/components/headers/RequestId' },
      ...Object.fromEntries(
        described.map(([name, header]) => [
          name,
          { description: header.description, schema: components.place(header.schema) },
        ]),
      ),
    },
    ...(Object.keys(media).length === 0
      ? {}
      : {
          content: Object.fromEntries(
            Object.entries(media).map(([type, value]) => [
              type,
              { schema: components.place(value) },
            ]),
          ),
        }),
  };
}
