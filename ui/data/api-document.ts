// ui, data: the OpenAPI document of the daemon, read once. It comes from the daemon and not from the bundle, so that what is
// made of it fits the daemon that answers, behind a proxy and after an update, too.

import { api } from './api.ts';

/** What forms need of a schema of OpenAPI 3.0. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
}

export interface ApiDocument {
  readonly paths: Readonly<
    Record<
      string,
      {
        readonly post?: {
          readonly requestBody?: {
            readonly content: { readonly 'application/json'?: { readonly schema: Schema } };
          };
        };
      }
    >
  >;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

let known: ApiDocument | null = null;

export async function readApiDocument(signal: AbortSignal): Promise<ApiDocument> {
  known ??= (await api().system.openapi({ signal })) as unknown as ApiDocument;
  return known;
}

/** The schema of the body of a POST. Throws if the daemon has no such operation. */
export function bodySchema(document: ApiDocument, path: string): Schema {
  const schema = document.paths[path]?.post?.requestBody?.content['application/json']?.schema;
  if (schema === undefined) throw new Error(`The API document of the daemon has no POST ${path}`);
  return resolved(document, schema);
}

/** Follows a reference to its schema. */
export function resolved(document: ApiDocument, schema: Schema): Schema {
  if (schema.$ref === undefined) return schema;
  const name = schema.$ref.split('/').at(-1) ?? '';
  const found = document.components.schemas[name];
  if (found === undefined) throw new Error(`The API document of the daemon has no ${schema.$ref}`);
  return found;
}
