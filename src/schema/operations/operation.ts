// schema, operations: the type of an operation, and the parts that several operations share.

import { type TSchema, Type } from 'typebox';
import { LIMITS } from '../../config/limits.ts';
import type { Scope } from '../../lib/scopes.ts';
import { ErrorSchema } from '../error.ts';
import { GRACE_TEXT, GraceSeconds, Int64, OneOf } from '../parts.ts';

export interface QueryParameter {
  readonly name: string;
  readonly description: string;
  readonly schema: TSchema;
  readonly required?: true;
}

export interface OperationAnswer {
  readonly description: string;
  readonly schema?: TSchema;
  readonly contentType?: string;
  /** Alternative bodies, by content type. */
  readonly otherwise?: Readonly<Record<string, TSchema>>;
  readonly headers?: Readonly<Record<string, { description: string; schema: TSchema }>>;
}

export interface Operation {
  /**
   * The scope that a key needs; `none` needs no key. For the MCP endpoint, each tool has a scope of its own in addition.
   */
  readonly scope: Scope | 'none';
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path parameters are in braces: /api/v1/vms/{name}. */
  readonly path: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly query?: readonly QueryParameter[];
  /** Request headers that the operation reads, in lower case. */
  readonly headers?: readonly string[];
  /** Descriptions of headers that mean something else here than in other operations, by name as in documents. */
  readonly headerSchemas?: Readonly<Record<string, { description: string; schema: TSchema }>>;
  readonly request?: {
    readonly schema: TSchema;
    readonly bytesMax: number;
    /** true: the handler reads the body itself, because the answer to a wrong body depends on its form. */
    readonly raw?: true;
    /** Of a body of bytes, which may be empty; application/json if absent. */
    readonly contentTypes?: readonly string[];
  };
  readonly answers: Readonly<Record<number, OperationAnswer>>;
}

const ERROR_TEXTS = {
  400: 'Bad request',
  401: 'API key missing or wrong',
  403: 'Client address, origin or host name not allowed, or the key lacks the scope',
  404: 'Not found',
  408: 'The wait has timed out; the operation continues',
  409: 'Conflict',
  412: 'It has another version than expected',
  413: 'Body too large',
  416: 'There is no such part',
  422: 'This Idempotency-Key was used with another request (IDEMPOTENCY_MISMATCH)',
  500: 'Internal error',
  502: 'The guest, or what it refers to, does not answer',
  503: 'Overloaded or shutting down; try again later',
  507: 'No space is left',
} as const;

/** Any operation can answer with errors that it does not list. */
export const ANY_ERROR: OperationAnswer = { description: 'Any other error', schema: ErrorSchema };

/** Error answers to requests with an Idempotency-Key, in addition to those of the operation. */
export const KEYED_ERRORS = (): Record<number, OperationAnswer> => ({
  400: { description: ERROR_TEXTS[400], schema: ErrorSchema },
  422: { description: ERROR_TEXTS[422], schema: ErrorSchema },
});

/** The error answers of an operation. Those of access checks apply to all operations. */
export function errors(...statuses: (keyof typeof ERROR_TEXTS)[]): Record<number, OperationAnswer> {
  const all = [...statuses, 401, 403] as const;
  return Object.fromEntries(
    all.map((status) => [status, { description: ERROR_TEXTS[status], schema: ErrorSchema }]),
  );
}

export const WAIT_GOALS = ['accepted', 'running', 'ready'] as const;

export const VM_WAIT_GOALS = [...WAIT_GOALS, 'exited'] as const;

const WAIT_TIMEOUT: QueryParameter = {
  name: 'timeout',
  description: 'Maximum wait in milliseconds; 408 after it, while the operation continues',
  schema: Int64({ maximum: LIMITS.waitTimeoutMaxMs }),
};

/** Parameters for how long a client wants to wait. */
export const WAIT: readonly QueryParameter[] = [
  {
    name: 'wait',
    description:
      'The state to wait for: accepted (on disk), running, or ready (its health check passes)',
    schema: OneOf(WAIT_GOALS, 'How far'),
  },
  WAIT_TIMEOUT,
];

/** As WAIT, for operations on one VM. */
export const VM_WAIT: readonly QueryParameter[] = [
  {
    name: 'wait',
    description:
      'The state to wait for: accepted (on disk), running, ready (its health check passes), or exited (its workload has ended for good)',
    schema: OneOf(VM_WAIT_GOALS, 'How far'),
  },
  WAIT_TIMEOUT,
];

/** Parameter of operations that end a guest. `unsaid` describes the default. */
export function graceParameter(unsaid: string): QueryParameter {
  const again = 'A repeated request can shorten the grace period, not extend it';
  const description = `${GRACE_TEXT}; ${unsaid}. ${again}`;
  return { name: 'grace_seconds', description, schema: GraceSeconds };
}

/** Parameter of operations with a body. */
const STRICT: QueryParameter = {
  name: 'strict',
  description:
    'true refuses unknown members of the body and unknown parameters; otherwise they are ignored, and `warnings` of the answer names them. An answer without a body is then an object with `warnings` only',
  schema: Type.Boolean(),
};

/** All parameters of an operation: its own, and those of all operations with a body. */
export function queryOf(operation: Operation): readonly QueryParameter[] {
  const { query = [] } = operation;
  return namesMembers(operation) ? [...query, STRICT] : query;
}

/** true if the operation defines the members of its body. false for a body that is forwarded unchanged. */
export function namesMembers({ request }: Operation): boolean {
  if (request === undefined || request.raw === true) return false;
  const { properties = {} } = request.schema as { properties?: object };
  return Object.keys(properties).length > 0;
}

export const DRY_RUN: QueryParameter = {
  name: 'dry_run',
  description:
    'true reports what would be done or refused, and does nothing. The answer is the resource as it would be, with dry_run and actions.',
  schema: Type.Boolean(),
};
