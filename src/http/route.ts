// http: one operation of the table with the data that its requests need, computed once. router.ts maps requests to routes.

import { type Operation, queryOf } from '../schema/operations/operation.ts';
import { OPERATIONS, type OperationId } from '../schema/operations.ts';
import { compileValidator } from '../schema/validate.ts';
import type { RefusalShape } from './exchange/reply.ts';
import type { OperationRequests, RequestMeter } from './exchange/request-meter.ts';
import type { AnyHandler, BoundElsewhere, Handlers, ShapedHandler } from './handlers.ts';

export interface Route {
  readonly id: OperationId;
  readonly operation: Operation;
  readonly parameterCount: number;
  readonly takesQuery: boolean;
  readonly handler: Exclude<AnyHandler, ShapedHandler | BoundElsewhere>;
  readonly refusal: RefusalShape | undefined;
  /** The problems of the shape of a body. */
  readonly check: ReturnType<typeof compileValidator>;
  readonly matcher: RegExp;
  readonly requests: OperationRequests;
}

/** The routes of the table, without those that are bound elsewhere. */
export function makeRoutes(handlers: Handlers, meter: RequestMeter): readonly Route[] {
  return Object.entries<AnyHandler>(handlers).flatMap(([id, handler]) =>
    'boundBy' in handler ? [] : [makeRoute(id as OperationId, handler, meter)],
  );
}

/** The route of the operation with this id. */
function makeRoute(
  id: OperationId,
  handler: Exclude<AnyHandler, BoundElsewhere>,
  meter: RequestMeter,
): Route {
  const operation: Operation = OPERATIONS[id];
  const pattern = operation.path.replaceAll(/\{\w+\}/g, '([^/]+)');
  return {
    id,
    operation,
    parameterCount: [...operation.path.matchAll(/\{\w+\}/g)].length,
    takesQuery: queryOf(operation).length > 0,
    handler: 'handle' in handler ? handler.handle : handler,
    refusal: 'handle' in handler ? handler.refusal : undefined,
    check:
      operation.request === undefined ? () => null : compileValidator(operation.request.schema),
    matcher: new RegExp(`^${pattern}$`),
    requests: meter.of(id),
  };
}

/** The value of an Allow header; empty if there are no routes. */
export function allowedMethods(routes: readonly Route[]): string {
  const methods: string[] = routes.map((route) => route.operation.method);
  if (methods.length === 0) return '';
  if (methods.includes('GET')) methods.push('HEAD');
  return [...methods, 'OPTIONS'].join(', ');
}
