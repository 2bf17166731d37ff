// schema: the OpenAPI 3.0.3 document, generated from the table of operations. Pure.

import { ConditionSchema } from './condition.ts';
import { ConfigEnvelopeSchema, ConfigPatchSchema } from './config-patch.ts';
import { CreateDeploymentSchema, DeploymentSchema } from './deployment.ts';
import { DryRunSchema } from './dry-run.ts';
import { ErrorSchema } from './error.ts';
import { EventSchema } from './event.ts';
import {
  ActionSchema,
  CloudInitDocSchema,
  CloudInitSchema,
  DeviceConfigSchema,
  DiskSchema,
  HealthCheckSchema,
  InitramfsSchema,
  ManifestSchema,
  NetworkConfigSchema,
  ResourcesSchema,
  RootFsSchema,
  WorkloadSchema,
} from './manifest.ts';
import type { Operation, OperationAnswer } from './operations/operation.ts';
import { OPERATIONS } from './operations.ts';
import { CreateVmSchema, VmSchema } from './vm.ts';
import { ApiEndpointSchema, ExposeSchema, VmConfigSchema } from './vm-config.ts';

type Json = { [key: string]: unknown };

/** Schemas that get a name of their own; elsewhere they are referred to. */
const COMPONENTS = {
  API: ApiEndpointSchema,
  Action: ActionSchema,
  CloudInit: CloudInitSchema,
  CloudInitDoc: CloudInitDocSchema,
  Config: VmConfigSchema,
  Condition: ConditionSchema,
  ConfigEnvelope: ConfigEnvelopeSchema,
  ConfigPatch: ConfigPatchSchema,
  CreateDeployment: CreateDeploymentSchema,
  CreateVM: CreateVmSchema,
  Deployment: DeploymentSchema,
  DryRun: DryRunSchema,
  DeviceConfig: DeviceConfigSchema,
  Disk: DiskSchema,
  Error: ErrorSchema,
  Event: EventSchema,
  Expose: ExposeSchema,
  HealthCheck: HealthCheckSchema,
  Initramfs: InitramfsSchema,
  Manifest: ManifestSchema,
  NetworkConfig: NetworkConfigSchema,
  Resources: ResourcesSchema,
  RootFS: RootFsSchema,
  VM: VmSchema,
  Workload: WorkloadSchema,
} as const;

const COMPONENT_NAMES = new Map<unknown, string>(
  Object.entries(COMPONENTS).map(([name, schema]) => [schema, name]),
);

/** The document of this daemon. `serverUrl` is where the reader found it. */
export function buildOpenApi(options: { version: string; serverUrl?: string }): Json {
  const paths: Record<string, Json> = {};
  for (const [operationId, operation] of Object.entries<Operation>(OPERATIONS)) {
    const path = paths[operation.path] ?? {};
    paths[operation.path] = path;
    path[operation.method.toLowerCase()] = describeOperation(operationId, operation);
  }
  return {
    openapi: '3.0.3',
    info: {
      title: 'Volant REST API',
      description: 'REST interface for the Volant microVM orchestration engine.',
      version: 'v1',
      'x-daemon-version': options.version,
    },
    servers: [{ url: options.serverUrl ?? 'http://127.0.0.1:7777' }],
    paths,
    components: {
      schemas: Object.fromEntries(
        Object.entries(COMPONENTS).map(([name, schema]) => [name, convertMembers({ ...schema })]),
      ),
      securitySchemes: {
        apiKey: { type: 'apiKey', in: 'header', name: 'X-Volant-API-Key' },
        bearer: { type: 'http', scheme: 'bearer' },
      },
    },
  };
}

function describeOperation(operationId: string, operation: Operation): Json {
  const { summary, description, tags, request } = operation;
  const pathNames = [...operation.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
  const parameters = [
    ...pathNames.map((name) => ({ in: 'path', name, required: true, schema: { type: 'string' } })),
    ...(operation.query ?? []).map((parameter) => ({
      in: 'query',
      name: parameter.name,
      description: parameter.description,
      schema: convert(parameter.schema),
    })),
    ...headersOf(operation).map((name) => ({ in: 'header', name, schema: { type: 'string' } })),
  ];
  const body = request && {
    required: true,
    content: { 'application/json': { schema: convert(request.schema) } },
  };
  return {
    operationId,
    summary,
    ...(description === undefined ? {} : { description }),
    tags,
    'x-scope': operation.scope,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: body }),
    responses: {
      ...Object.fromEntries(
        Object.entries(operation.answers).map(([status, answer]) => [
          status,
          describeAnswer(answer),
        ]),
      ),
      default: { description: '' },
    },
  };
}

/** Clients that may come twice with one request say so by the first of these. */
function headersOf({ method, headers = [], request }: Operation): readonly string[] {
  const keyed = method === 'POST' && request?.raw !== true;
  return [...(keyed ? ['Idempotency-Key'] : []), ...headers.map(canonical)];
}

/** last-event-id -> Last-Event-ID, mcp-name -> Mcp-Name */
function canonical(header: string): string {
  const words = header.split('-').map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return words.join('-').replace(/-Id$/, '-ID');
}

function describeAnswer(answer: OperationAnswer): Json {
  const { schema, contentType = 'application/json', headers } = answer;
  const media = schema === undefined ? {} : { schema: convert(schema) };
  const hasContent = schema !== undefined || answer.contentType !== undefined;
  return {
    description: answer.description,
    ...(headers === undefined
      ? {}
      : {
          headers: Object.fromEntries(
            Object.entries(headers).map(([name, header]) => [
              name,
              { description: header.description, schema: convert(header.schema) },
            ]),
          ),
        }),
    ...(hasContent ? { content: { [contentType]: media } } : {}),
  };
}

/** JSON Schema as TypeBox writes it -> the dialect of OpenAPI 3.0; named schemas become references. */
function convert(schema: unknown): unknown {
  const name = COMPONENT_NAMES.get(schema);
  if (name !== undefined) return { $ref: `#/components/schemas/${name}` };
  return convertMembers({ ...(schema as object) });
}

function convertMembers(schema: Json): Json {
  const { anyOf, patternProperties, ...rest } = schema;
  if (Array.isArray(anyOf)) {
    // 3.0 has no type "null"; a reference cannot have siblings, so it is wrapped.
    const [member] = anyOf.filter((part: Json) => part['type'] !== 'null');
    const converted = convert(member) as Json;
    return '$ref' in converted
      ? { nullable: true, allOf: [converted] }
      : { ...converted, nullable: true };
  }
  const result: Json = {};
  for (const [key, value] of Object.entries(rest)) {
    if (key === 'properties') {
      const members = Object.entries(value as Json);
      result[key] = Object.fromEntries(members.map(([name, member]) => [name, convert(member)]));
    } else if (key === 'items') {
      result[key] = convert(value);
    } else {
      result[key] = value;
    }
  }
  if (patternProperties !== undefined) {
    result['additionalProperties'] = convert(Object.values(patternProperties as Json)[0]);
  }
  return result;
}
