// http: what a handler is: from a checked request to an answer. Methods, paths, schemas and limits are
// in schema/operations.ts; a handler calls the engine and nothing else.

import type { Config } from '../config.ts';
import type { Engine } from '../engine/engine-api.ts';
import type { Logger } from '../lib/log.ts';
import type { Supervision } from '../lib/supervision.ts';
import type { OperationId } from '../schema/operations.ts';
import type { Caller } from './callers.ts';
import type { Exchange, RequestHead } from './exchange.ts';
import type { GuardFacts } from './guards.ts';
import type { RefusalShape, Reply } from './reply.ts';
import type { EventStreams } from './sse.ts';
import type { Waits } from './waits.ts';

/** What handlers have in common. */
export interface HandlerContext {
  /** Who asks. Its scope is enough for the operation; what it sees is the engine's below. */
  readonly caller: Caller;
  /** As the caller may use it. */
  readonly engine: Engine;
  readonly config: Config;
  readonly streams: EventStreams;
  readonly waits: Waits;
  /** What the daemon tells about its own keys and certificate. */
  readonly guards: () => GuardFacts;
  readonly log: Logger;
  /** Text of the OpenAPI document as it is found under a host. */
  readonly openapi: (host: string) => string;
  readonly supervisor: () => Supervision;
}

/** `body` has been checked against the operation's schema; undefined where it has none. */
export type Handler = (
  context: HandlerContext,
  head: RequestHead,
  body: unknown,
) => Reply | Promise<Reply>;

/** A handler that goes on writing: it owns the exchange from here on. */
export type StreamHandler = (
  context: HandlerContext,
  head: RequestHead,
  exchange: Exchange,
) => void;

/** A handler that reads its body itself. null: it goes on writing, and owns the exchange from here on. */
export type RawHandler = (
  context: HandlerContext,
  head: RequestHead,
  body: Buffer,
  exchange: Exchange,
) => Promise<Reply | null>;

/** A handler whose clients look for more in a refusal than every error has; whoever refuses: the router too. */
export interface ShapedHandler {
  readonly handle: Handler;
  /** Members that are added to the body of an error. */
  readonly refusal: RefusalShape;
}

export type AnyHandler =
  | Handler
  | ShapedHandler
  | { readonly stream: StreamHandler }
  | { readonly raw: RawHandler };

export type Handlers = { readonly [id in OperationId]: AnyHandler };
