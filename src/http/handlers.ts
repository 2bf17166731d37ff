// http: the types of handlers: from a checked request to an answer. Methods, paths, schemas and limits are in
// schema/operations.ts. A handler calls the engine and no other layer.

import type { Config } from '../config.ts';
import type { Engine } from '../engine/engine-api.ts';
import type { Logger } from '../lib/log/log.ts';
import type { Supervision } from '../lib/supervision.ts';
import type { OperationId } from '../schema/operations.ts';
import type { Caller } from './access/callers.ts';
import type { GuardFacts } from './access/guards.ts';
import type { Exchange, RequestHead } from './exchange/exchange.ts';
import type { RefusalShape, Reply } from './exchange/reply.ts';
import type { ExecStreams } from './guests/execs/exec-streams.ts';
import type { FileWatches } from './guests/files/file-watches.ts';
import type { HttpMetrics } from './http-metrics.ts';
import type { EventStreams } from './streams/sse.ts';
import type { Waits } from './streams/waits.ts';

/** What all handlers get. */
export interface HandlerContext {
  /** The caller. Its scope allows the operation; `engine` limits what it sees. */
  readonly caller: Caller;
  /** The engine as the caller may use it. */
  readonly engine: Engine;
  readonly config: Config;
  readonly streams: EventStreams;
  readonly waits: Waits;
  readonly execStreams: ExecStreams;
  readonly fileWatches: FileWatches;
  /** Facts about the daemon's keys and certificate. */
  readonly guards: () => GuardFacts;
  readonly log: Logger;
  /** Text of the OpenAPI document with this host as its server. */
  readonly openapi: (host: string) => string;
  readonly supervisor: () => Supervision;
  readonly metrics: HttpMetrics;
}

/**
 * `body` was checked against the operation's schema; undefined if the operation has none. `client` reports a client that
 * disconnects; absent if the operation has no body.
 */
export type Handler = (
  context: HandlerContext,
  head: RequestHead,
  body: unknown,
  client?: Pick<Exchange, 'onAborted'>,
) => Reply | Promise<Reply>;

/** A handler that streams its answer: it owns the exchange from here on. */
export type StreamHandler = (
  context: HandlerContext,
  head: RequestHead,
  exchange: Exchange,
) => void;

/** A handler that reads its body itself. null: it streams its answer, and owns the exchange from here on. */
export type RawHandler = (
  context: HandlerContext,
  head: RequestHead,
  body: Buffer,
  exchange: Exchange,
) => Promise<Reply | null>;

/** A handler whose error bodies have additional members, including errors that the router answers. */
export interface ShapedHandler {
  readonly handle: Handler;
  /** Members that are added to the body of an error. */
  readonly refusal: RefusalShape;
}

export type AnyHandler =
  | Handler
  | ShapedHandler
  | { readonly stream: StreamHandler }
  | { readonly raw: RawHandler }
  | BoundElsewhere;

/** An operation that a part of its own binds and answers, because it streams both bodies. */
export interface BoundElsewhere {
  readonly boundBy: string;
}

export type Handlers = { readonly [id in OperationId]: AnyHandler };
