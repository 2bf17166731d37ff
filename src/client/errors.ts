// client: errors of a call: the daemon refused it (ApiError), could not be reached (ConnectionError) or took too long
// (RequestTimeoutError). The client throws no other errors on purpose.

/** The daemon answered with an error. `code` is one of docs/errors.md and never changes its meaning. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly code: string;
  /** What is wrong with each field or parameter. */
  readonly details: Readonly<Record<string, string>>;
  /** When to retry; undefined if the daemon does not say. */
  readonly retryAfterSeconds: number | undefined;
  /** X-Request-Id of the answer, to find it in the daemon's log; undefined if it has none. */
  readonly requestId: string | undefined;
  /** The whole answer; a few errors have more members than those above. */
  readonly body: unknown;

  /** `location` is the target of a redirect. */
  constructor(
    status: number,
    body: unknown,
    retryAfterSeconds?: number,
    requestId?: string,
    location?: string,
  ) {
    const { error, code, details } = isObject(body) ? body : {};
    const redirect = location === undefined ? '' : `, a redirect to ${location}: use that address`;
    const known = typeof error === 'string' && error !== '' ? error : undefined;
    super(known ?? `The answer is ${status}${redirect}`);
    this.status = status;
    // A program that is not a Volant daemon, such as a proxy in front of it, answers errors without a code.
    this.code = typeof code === 'string' ? code : `HTTP_${status}`;
    this.details = isObject(details) ? (details as Record<string, string>) : {};
    this.retryAfterSeconds = retryAfterSeconds;
    this.requestId = requestId;
    this.body = body;
  }
}

/** There was no answer, or it was incomplete. Any request except a GET may have been carried out. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  /** Code of the system, such as ECONNREFUSED; undefined if there is none. */
  readonly code: string | undefined;
  /** Close code of a WebSocket that the daemon closed (RFC 6455, 7.4). */
  readonly closeCode: number | undefined;

  constructor(message: string, cause?: unknown, closeCode?: number) {
    const reason = reasonOf(cause);
    super(
      reason === '' ? message : `${message}: ${reason}`,
      cause === undefined ? undefined : { cause },
    );
    this.code = systemCodeOf(cause);
    this.closeCode = closeCode;
  }
}

/** No answer within the timeout of the call. The request may still be carried out. */
export class RequestTimeoutError extends Error {
  override readonly name = 'RequestTimeoutError';
  readonly timeoutMs: number;

  constructor(timeoutMs: number) {
    super(`No answer within ${timeoutMs} ms`);
    this.timeoutMs = timeoutMs;
  }
}

/** Converts an answer with a status of 300 or more to an error; reads its body. */
export async function toApiError(response: Response): Promise<ApiError> {
  const text = await response.text();
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retryAfterSeconds = seconds >= 0 ? seconds : undefined;
  const requestId = response.headers.get('x-request-id') ?? undefined;
  const location = response.headers.get('location') ?? undefined;
  return new ApiError(response.status, parsed(text), retryAfterSeconds, requestId, location);
}

/** fetch wraps the original error once or twice; the innermost one has the best message. */
function reasonOf(cause: unknown): string {
  let reason = '';
  for (let error = cause; isObject(error); error = error['cause']) {
    if (typeof error['message'] === 'string' && error['message'] !== '') reason = error['message'];
  }
  return reason;
}

/** The first code in the chain of causes is the code of the system. */
function systemCodeOf(cause: unknown): string | undefined {
  for (let error = cause; isObject(error); error = error['cause']) {
    if (typeof error['code'] === 'string') return error['code'];
  }
  return undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
