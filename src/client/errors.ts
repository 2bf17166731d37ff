// client: what can go wrong with a call: the daemon refused it (ApiError), could not be reached
// (ConnectionError) or took too long (RequestTimeoutError). Nothing else is thrown on purpose.

/** The daemon's answer was an error. `code` is one of docs/errors.md and never changes its meaning. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly code: string;
  /** What is wrong with each field or parameter. */
  readonly details: Readonly<Record<string, string>>;
  /** When the daemon asks to come back; undefined when it does not. */
  readonly retryAfterSeconds: number | undefined;
  /** X-Request-Id of the answer, under which the daemon's log tells of it; undefined when it has none. */
  readonly requestId: string | undefined;
  /** The whole answer; a few errors tell more than the members above. */
  readonly body: unknown;

  constructor(status: number, body: unknown, retryAfterSeconds?: number, requestId?: string) {
    const { error, code, details } = isObject(body) ? body : {};
    super(typeof error === 'string' && error !== '' ? error : `The answer is ${status}`);
    this.status = status;
    // Only what is not a Volant daemon, such as a proxy before it, answers an error without a code.
    this.code = typeof code === 'string' ? code : `HTTP_${status}`;
    this.details = isObject(details) ? (details as Record<string, string>) : {};
    this.retryAfterSeconds = retryAfterSeconds;
    this.requestId = requestId;
    this.body = body;
  }
}

/** There was no answer, or it ended too early. For anything but a GET it may still have been done. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  /** Of the system, such as ECONNREFUSED; undefined when it gave none. */
  readonly code: string | undefined;
  /** Of a WebSocket that the daemon closed (RFC 6455, 7.4). */
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

/** No answer within the bound of the call. It may still be done. */
export class RequestTimeoutError extends Error {
  override readonly name = 'RequestTimeoutError';
  readonly timeoutMs: number;

  constructor(timeoutMs: number) {
    super(`No answer within ${timeoutMs} ms`);
    this.timeoutMs = timeoutMs;
  }
}

/** An answer with a status of 300 or more as an error; reads its body. */
export async function toApiError(response: Response): Promise<ApiError> {
  const text = await response.text();
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retryAfterSeconds = seconds >= 0 ? seconds : undefined;
  const requestId = response.headers.get('x-request-id') ?? undefined;
  return new ApiError(response.status, parsed(text), retryAfterSeconds, requestId);
}

/** fetch wraps what happened once or twice; what says most is at the bottom. */
function reasonOf(cause: unknown): string {
  let reason = '';
  for (let error = cause; isObject(error); error = error['cause']) {
    if (typeof error['message'] === 'string' && error['message'] !== '') reason = error['message'];
  }
  return reason;
}

/** The first code on the way down, which is the system's. */
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
