// schema, operations: what an operation is made of, and the pieces that several share.

import { type TSchema, Type } from 'typebox';
import { LIMITS } from '../../config.ts';
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
  /** What it may be besides, by content type. */
  readonly otherwise?: Readonly<Record<string, TSchema>>;
  readonly headers?: Readonly<Record<string, { description: string; schema: TSchema }>>;
}

export interface Operation {
  /** What a key must be good for; `none` needs no key. Of the MCP endpoint: each tool has its own besides. */
  readonly scope: Scope | 'none';
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Parameters in braces: /api/v1/vms/{name}. */
  readonly path: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly query?: readonly QueryParameter[];
  /** Request headers that the operation looks at, in lower case. */
  readonly headers?: readonly string[];
  readonly request?: {
    readonly schema: TSchema;
    readonly bytesMax: number;
    /** The handler reads the body itself: what it answers to a wrong one depends on the body. */
    readonly raw?: true;
  };
  readonly answers: Readonly<Record<number, OperationAnswer>>;
}

const ERROR_TEXTS = {
  400: 'Bad request',
  401: 'API key missing or wrong',
  403: 'Client address, origin or host name not allowed, or the key is not good for this',
  404: 'Not found',
  408: 'What was waited for has not happened yet; it goes on',
  409: 'Conflict',
  412: 'The config has another version than expected',
  413: 'Body too large',
  422: 'This Idempotency-Key was used with another request (IDEMPOTENCY_MISMATCH)',
  500: 'Internal error',
  502: 'The guest, or what it refers to, does not answer',
  503: 'Too much at once, or shutting down; try again later',
} as const;

/** What any operation may answer beside what it names. */
export const ANY_ERROR: OperationAnswer = { description: 'Any other error', schema: ErrorSchema };

/** The answers of a request that comes twice with one Idempotency-Key, beside those of its operation. */
export const KEYED_ERRORS = (): Record<number, OperationAnswer> => ({
  400: { description: ERROR_TEXTS[400], schema: ErrorSchema },
  422: { description: ERROR_TEXTS[422], schema: ErrorSchema },
});

/** The error answers of an operation; those of access are everybody's. */
export function errors(...statuses: (keyof typeof ERROR_TEXTS)[]): Record<number, OperationAnswer> {
  const all = [...statuses, 401, 403] as const;
  return Object.fromEntries(
    all.map((status) => [status, { description: ERROR_TEXTS[status], schema: ErrorSchema }]),
  );
}

export const WAIT_GOALS = ['accepted', 'running', 'ready'] as const;

/** How far a client wants to wait. */
export const WAIT: readonly QueryParameter[] = [
  {
    name: 'wait',
    description: 'How far to wait: accepted (on disk), running, or ready (its health check passes)',
    schema: OneOf(WAIT_GOALS, 'How far'),
  },
  {
    name: 'timeout',
    description: 'Longest wait in milliseconds; 408 after it, while the operation goes on',
    schema: Int64({ maximum: LIMITS.waitTimeoutMaxMs }),
  },
];

/** Of operations that end a guest. `unsaid` is what happens without it. */
export function graceParameter(unsaid: string): QueryParameter {
  const again = 'Asked again while the guest has time left, less counts and more does not';
  const description = `${GRACE_TEXT}; ${unsaid}. ${again}`;
  return { name: 'grace_seconds', description, schema: GraceSeconds };
}

/** Of operations with a body. */
const STRICT: QueryParameter = {
  name: 'strict',
  description:
    'true refuses what the operation does not know, members of the body and parameters; without it they are ignored, and `warnings` of the answer names them',
  schema: Type.Boolean(),
};

/** The parameters of an operation: its own, and what all with a body have. */
export function queryOf(operation: Operation): readonly QueryParameter[] {
  const { query = [] } = operation;
  return namesMembers(operation) ? [...query, STRICT] : query;
}

/** The body is the operation's own; a free one is handed on, and what is in it is not the daemon's business. */
export function namesMembers({ request }: Operation): boolean {
  if (request === undefined || request.raw === true) return false;
  const { properties = {} } = request.schema as { properties?: object };
  return Object.keys(properties).length > 0;
}

export const DRY_RUN: QueryParameter = {
  name: 'dry_run',
  description:
    'true tells what would be done or refused, and does nothing. The answer is the resource as it would be, with dry_run and actions.',
  schema: Type.Boolean(),
};
