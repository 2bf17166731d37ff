// schema: generates the OpenAPI 3.0.3 document from the table of operations. openapi-schemas.ts converts schemas. Pure.

import { type TSchema, Type } from 'typebox';
import { LIMITS } from '../../config/limits.ts';
import { EventSchema } from '../event.ts';
import {
  ANY_ERROR,
  KEYED_ERRORS,
  type Operation,
  type OperationAnswer,
  queryOf,
} from '../operations/operation.ts';
import { OPERATIONS } from '../operations.ts';
import { Int64, NAME_CHARACTERS_PATTERN } from '../parts.ts';
import { Components, type Json } from './openapi-schemas.ts';

const TAGS: Readonly<Record<string, string>> = {
  config: 'Configs of VMs',
  deployment: 'Sets of identical VMs that are kept alive',
  events: 'Streams of events',
  exec: 'Programs that are run in VMs',
  files: 'Files in guests',
  health: 'Health of the daemon',
  images: 'Container images on this host',
  mcp: 'The endpoint for agents',
  plugins: 'Templates of VMs',
  status: 'Counts and load',
  system: 'The daemon and its host',
  vfio: 'PCI devices for VMs',
  vm: 'VMs and their life cycle',
};

/** The empty entry: a daemon without keys requires none. */
const SECURITY = [{ apiKey: [] }, { bearer: [] }, {}];

/** Schemas of path parameters. Parameters that are not listed may be any text. */
const PATH_SCHEMAS: Readonly<Record<string, TSchema>> = {
  name: Type.String({ pattern: NAME_CHARACTERS_PATTERN }),
  plugin: Type.String({ pattern: NAME_CHARACTERS_PATTERN }),
  path: Type.String({
    description: 'The path in the guest, without its first slash; slashes may be escaped',
  }),
};

const HEADER_SCHEMAS: Readonly<Record<string, { description: string; schema: TSchema }>> = {
  'Idempotency-Key': {
    description: 'A repeated request with the same key gets the answer of the first one',
    schema: Type.String({
      pattern: '^[\\x21-\\x7e]+$',
      minLength: 1,
      maxLength: LIMITS.idempotencyKeyCharactersMax,
    }),
  },
  'If-Match': {
    description: 'Change only this version: its ETag',
    schema: Type.String(),
  },
  'If-None-Match': {
    description: 'Not for this version: its ETag; * for no version at all',
    schema: Type.String(),
  },
  'If-Modified-Since': { description: 'Only if it was changed since', schema: Type.String() },
  'If-Unmodified-Since': { description: 'Only if it was not changed since', schema: Type.String() },
  'If-Range': {
    description: 'The part only of this version, otherwise the whole: an ETag or a date',
    schema: Type.String(),
  },
  Range: {
    description: 'One part: bytes=FIRST-LAST, bytes=FIRST- or bytes=-LENGTH',
    schema: Type.String(),
  },
  'Last-Event-ID': {
    description: 'The number of the last event that the client has seen',
    schema: Int64(),
  },
  'Mcp-Protocol-Version': {
    description: 'The revision of the protocol that the client speaks',
    schema: Type.String(),
  },
  'Mcp-Method': { description: 'The same as the method of the message', schema: Type.String() },
  'Mcp-Name': { description: 'The same as the name or URI in the message', schema: Type.String() },
};

/** A header of every answer. */
const REQUEST_ID = {
  description: "Id of the request: the client's own X-Request-Id, or a generated one",
  schema: { type: 'string', minLength: 1, maxLength: LIMITS.requestIdCharactersMax },
};

const RETRY_AFTER = {
  'Retry-After': { description: 'Seconds; absent if unknown', schema: Int64() },
};

const REPLAYED = {
  'Idempotent-Replayed': {
    description: 'true: this is the answer of an earlier request with the same Idempotency-Key',
    schema: Type.String({ enum: ['true'] }),
  },
};

/** The document of this daemon. `serverUrl` is the base URL that its reader used. */
export function buildOpenApi(options: { version: string; serverUrl?: string }): Json {
  const components = new Components();
  // The schema of the data of event streams, to which no answer refers.
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
  const { contentTypes = ['application/json'] } = request ?? {};
  const body = request && {
    required: contentTypes.length === 1,
    content: Object.fromEntries(
      contentTypes.map((type) => [type, { schema: components.place(request.schema) }]),
    ),
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
      const known = operation.headerSchemas?.[name] ?? HEADER_SCHEMAS[name];
      const { description, schema } = known ?? {
        description: name,
        schema: Type.String(),
      };
      return { in: 'header', name, description, schema: components.place(schema) };
    }),
  ];
}

/** Operations that can be repeated with an Idempotency-Key. */
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
