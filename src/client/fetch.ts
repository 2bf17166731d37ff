// client: the part of the global fetch that the client uses.

export interface FetchInit {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  /** Required by the standard for a body that is a stream: the answer is read after the body was sent. */
  readonly duplex?: 'half';
  readonly signal: AbortSignal;
  /** The caller does nothing before the end of the answer, so that a stream would be in vain. The global fetch ignores it. */
  readonly whole?: boolean;
  /** `manual`: a redirect is returned as an answer. */
  readonly redirect?: 'manual';
}

/** The part of the global fetch that the client uses; tests and proxies can replace it. */
export type Fetch = (url: string, init: FetchInit) => Promise<Response>;
