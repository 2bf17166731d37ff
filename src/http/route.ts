// http: one operation of the table with what its requests need, worked out once. How a request comes to it is the router's
// business.

import { type Operation, queryOf } from '../schema/operations/operation.ts';
import { OPERATIONS, type OperationId } from '../schema/operations.ts';
import { compileValidator } from '../schema/validate.ts';
import type { AnyHandler, Handlers, ShapedHandler } from './handlers.ts';
import type { RefusalShape } from './reply.ts';

export interface Route {
  readonly id: OperationId;
  readonly operation: Operation;
  readonly parameterCount: number;
  readonly takesQuery: boolean;
  readonly handler: Exclude<AnyHandler, ShapedHandler>;
  readonly refusal: RefusalShape | undefined;
  readonly check: ReturnType<typeof compileValidator> | null;
  readonly matcher: RegExp;
}

/** Of the operation with this id. */
export function makeRoute(id: OperationId, handlers: Handlers): Route {
  const operation: Operation = OPERATIONS[id];
  const handler: AnyHandler = handlers[id];
  const pattern = operation.path.replaceAll(/\{\w+\}/g, '([^/]+)');
  return {
    id,
    operation,
    parameterCount: [...operation.path.matchAll(/\{\w+\}/g)].length,
    takesQuery: queryOf(operation).length > 0,
    handler: 'handle' in handler ? handler.handle : handler,
    refusal: 'handle' in handler ? handler.refusal : undefined,
    check: operation.request === undefined ? null : compileValidator(operation.request.schema),
    matcher: new RegExp(`^${pattern}$`),
  };
}

/** For an Allow header; empty when there are none. */
export function allowedMethods(routes: readonly Route[]): string {
  const methods: string[] = routes.map((route) => route.operation.method);
  if (methods.length === 0) return '';
  if (methods.includes('GET')) methods.push('HEAD');
  return [...methods, 'OPTIONS'].join(', ');
}
