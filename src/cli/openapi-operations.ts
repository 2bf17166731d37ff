// cli: the operations in a workload's OpenAPI document, with what is needed to call one. Pure.

import { asObject, parseJson } from './arguments.ts';
import { UsageError } from './exit.ts';

export interface WorkloadOperation {
  readonly id: string;
  /** Upper case. */
  readonly method: string;
  /** With parameters in braces. */
  readonly path: string;
  readonly summary: string;
}

const METHODS = ['get', 'put', 'post', 'delete', 'patch', 'head', 'options'];

/** Reads OpenAPI 3 as JSON. Throws UsageError for a document in YAML, with a remedy. */
export function operationsOf(document: { text: string; contentType: string }): WorkloadOperation[] {
  if (/ya?ml/.test(document.contentType)) {
    throw new UsageError('The OpenAPI document of this workload is YAML; only JSON can be read');
  }
  const root = asObject(parseJson(document.text, 'the OpenAPI document'), 'the OpenAPI document');
  const paths = asObject(root['paths'] ?? {}, 'paths of the OpenAPI document');
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(asObject(item, path))
      .filter(([method]) => METHODS.includes(method))
      .map(([method, operation]) => {
        const { operationId, summary } = asObject(operation, `${method} ${path}`);
        return {
          id: typeof operationId === 'string' ? operationId : '',
          method: method.toUpperCase(),
          path,
          summary: typeof summary === 'string' ? summary : '',
        };
      }),
  );
}

/** By operationId, ignoring case, or by METHOD:PATH. */
export function findOperation(
  operations: readonly WorkloadOperation[],
  wanted: string,
): WorkloadOperation {
  const lower = wanted.toLowerCase();
  const found = operations.find(
    ({ id, method, path }) =>
      id.toLowerCase() === lower || `${method}:${path}`.toLowerCase() === lower,
  );
  if (found !== undefined) return found;
  throw new UsageError(`There is no operation ${wanted}: \`volar vms operations\` lists them`);
}

/** The path with its parameters filled in. */
export function fillPath(path: string, values: Readonly<Record<string, string>>): string {
  return path.replace(/\{([^}]+)\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new UsageError(`${path} needs --param ${name}=VALUE`);
    return encodeURIComponent(value);
  });
}
