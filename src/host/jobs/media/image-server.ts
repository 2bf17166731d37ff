// jobs, media: the HTTP requests to servers of images, and the meaning of their answers. Nothing is written to disk
// here; see download.ts.

import { withoutSecrets } from '../../../lib/formats/image-location.ts';
import {
  AddressRefused,
  ConnectionFailed,
  type GuardedAnswer,
  guardedGet,
  isNamedHost,
} from '../../../lib/net/guarded-get.ts';
import type { Outbound } from '../../../lib/net/proxy.ts';
import { JobFault } from '../fault.ts';
import { NO_VERSION, type Validators, type Version } from './partial.ts';

const REDIRECTS_MAX = 5;
/** Status codes after which a retry may succeed. */
const TRANSIENT = new Set([408, 425, 429, 500, 502, 503, 504]);

/** A retry may succeed. */
export class Interrupted extends Error {}

/** A retry may succeed when it starts at the first byte. */
export class Unresumable extends Interrupted {}

export interface ImageRequest {
  readonly url: string;
  /** Hosts that are allowed at any address. When empty or containing "*", all public addresses are allowed, too. */
  readonly hosts: readonly string[];
  readonly outbound: Outbound;
  /** A version that is cached completely: the server is asked whether it has changed. */
  readonly known: Validators | null;
  /** A version whose first bytes are here. */
  readonly begun: Begun | null;
  /** The content is compared with a checksum, so a truncated file is noticed whatever the server says. */
  readonly isChecked: boolean;
}

interface Begun {
  readonly version: Version;
  /** The value of If-Range, by which the server sends the rest of this version only. */
  readonly condition: string;
  readonly bytes: number;
}

/** An answer with a body. */
export interface Delivery {
  /** 0, or the number of bytes that are here already. */
  readonly offset: number;
  /** Offset in the file where the body ends, possibly before the end of the file; null when the server does not say. */
  readonly endBytes: number | null;
  readonly version: Version;
  readonly body: AsyncIterable<Uint8Array>;
}

/** Requests a file. Rejects with MEDIA_DOWNLOAD_FAILED, MEDIA_NOT_ALLOWED, Interrupted, or the signal's reason. */
export async function askServer(
  request: ImageRequest,
  signal: AbortSignal,
): Promise<'unchanged' | Delivery> {
  const response = await followed(request, signal);
  const { status } = response;
  if (status === 304) {
    response.cancel();
    return 'unchanged';
  }
  if (status === 206) return restOf(request, response);
  if (status === 200) return whole(request, response);
  response.cancel();
  const problem = `the server answered ${status}`;
  if (status === 416) throw new Unresumable(problem);
  throw TRANSIENT.has(status) ? new Interrupted(problem) : downloadFailed(request.url, problem);
}

/** The whole file, from a server that knows no ranges or that has another version now. */
function whole({ url, isChecked }: ImageRequest, response: GuardedAnswer): Delivery {
  const { headers, body } = response;
  if (!isChecked && !response.showsItsEnd) {
    response.cancel();
    const why =
      'the server does not say where the file ends, so a truncated one would not be noticed';
    throw downloadFailed(url, `${why}; give its checksum`);
  }
  // A compressed transfer has another length, and its ranges are not ranges of the file.
  if (!isPlain(headers)) return { offset: 0, endBytes: null, version: NO_VERSION, body };
  const totalBytes = numberIn(headers.get('content-length'));
  return {
    offset: 0,
    endBytes: totalBytes,
    version: { ...validatorsOf(headers), totalBytes },
    body,
  };
}

/** The rest of a file, or a part of the rest. In that case the request is repeated for what is missing. */
function restOf({ begun }: ImageRequest, response: GuardedAnswer): Delivery {
  const { headers, body } = response;
  const part = partIn(headers);
  const isAsked = begun !== null && part?.fromBytes === begun.bytes && isPlain(headers);
  if (!isAsked || part === null) {
    response.cancel();
    throw new Unresumable('the server sent another range than requested');
  }
  const { endBytes, totalBytes } = part;
  if (!isOfVersion(begun.version, headers, totalBytes)) {
    response.cancel();
    throw new Unresumable('the file has changed on the server');
  }
  return { offset: begun.bytes, endBytes, version: { ...begun.version, totalBytes }, body };
}

/** Returns the range of an answer; null when it is missing or contradicts itself. */
function partIn(headers: Headers) {
  const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('content-range') ?? '');
  if (range === null) return null;
  const [fromBytes = 0, last = 0, totalBytes = 0] = range.slice(1).map(Number);
  const endBytes = last + 1;
  const lengthBytes = numberIn(headers.get('content-length')) ?? endBytes - fromBytes;
  const isSound =
    fromBytes < endBytes && endBytes <= totalBytes && lengthBytes === endBytes - fromBytes;
  return isSound ? { fromBytes, endBytes, totalBytes } : null;
}

/**
 * Whether a range belongs to the version that was begun. `If-Range` demands that, but some servers and caches ignore
 * it. The validators must be the same as before, except that Last-Modified may be omitted beside a strong ETag (RFC
 * 9110, 15.3.7).
 */
function isOfVersion(begun: Version, headers: Headers, totalBytes: number): boolean {
  const etag = headers.get('etag');
  const lastModified = headers.get('last-modified');
  if (begun.totalBytes !== null && begun.totalBytes !== totalBytes) return false;
  if (etag !== begun.etag) return false;
  const mayBeMissing = begun.etag !== null && lastModified === null;
  return mayBeMissing || begun.lastModified === null || lastModified === begun.lastModified;
}

/** Follows redirects here, so that each target is checked. */
async function followed(request: ImageRequest, signal: AbortSignal): Promise<GuardedAnswer> {
  let url = new URL(request.url);
  for (let count = 0; count <= REDIRECTS_MAX; count += 1) {
    const response = await ask(url, request, signal);
    const location = response.headers.get('location');
    if (response.status < 300 || response.status > 399 || location === null) return response;
    response.cancel();
    if (!URL.canParse(location, url.href)) {
      throw downloadFailed(request.url, 'it redirects to something that is not a URL');
    }
    url = new URL(location, url);
  }
  throw downloadFailed(request.url, `more than ${REDIRECTS_MAX} redirects`);
}

async function ask(url: URL, request: ImageRequest, signal: AbortSignal): Promise<GuardedAnswer> {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw downloadFailed(request.url, 'only http and https are fetched');
  }
  if (url.username !== '' || url.password !== '') {
    throw downloadFailed(request.url, 'it redirects to a URL with a user or a password');
  }
  const { hosts, outbound } = request;
  const isNamed = isNamedHost(url, hosts);
  if (!isNamed && hosts.length > 0 && !hosts.includes('*')) {
    const why = `${url.hostname} is not among the hosts of VOLANT_MEDIA_HOSTS`;
    throw new JobFault('MEDIA_NOT_ALLOWED', why);
  }
  try {
    return await guardedGet(url, { headers: headersFor(request), signal, isNamed, outbound });
  } catch (error) {
    if (!(error instanceof AddressRefused)) throw error;
    const why = `${error.message}: downloads come from there only if VOLANT_MEDIA_HOSTS names the host`;
    throw new JobFault('MEDIA_NOT_ALLOWED', why);
  }
}

function headersFor({ known, begun }: ImageRequest): Headers {
  const headers = new Headers();
  if (known?.etag) headers.set('if-none-match', known.etag);
  else if (known?.lastModified) headers.set('if-modified-since', known.lastModified);
  if (known === null && begun !== null) {
    headers.set('if-range', begun.condition);
    headers.set('range', `bytes=${begun.bytes}-`);
  }
  return headers;
}

function validatorsOf(headers: Headers): Validators {
  const lastModified = headers.get('last-modified');
  return {
    etag: headers.get('etag'),
    lastModified: isLongAgo(lastModified, headers.get('date')) ? lastModified : null,
  };
}

/** A file that changed in the second of the answer may change once more in that second (RFC 9110, 8.8.2.2). */
function isLongAgo(lastModified: string | null, date: string | null): boolean {
  const answeredAtMs = date === null ? Date.now() : Date.parse(date);
  return lastModified !== null && answeredAtMs - Date.parse(lastModified) >= 1000;
}

/** "identity" means not compressed. */
function isPlain(headers: Headers): boolean {
  const coding = headers.get('content-encoding')?.trim().toLowerCase() ?? '';
  return coding === '' || coding === 'identity';
}

function numberIn(text: string | null): number | null {
  return text !== null && /^\d+$/.test(text) ? Number(text) : null;
}

/** Returns MEDIA_DOWNLOAD_FAILED, with the URL in its message. */
export function downloadFailed(url: string, why: string, cause?: unknown): JobFault {
  const message = `${withoutSecrets(url)} cannot be downloaded: ${why}`;
  return new JobFault('MEDIA_DOWNLOAD_FAILED', message, cause);
}

/** Converts temporary network failures to Interrupted. Other errors stay as they are. */
export function asInterrupted(url: string, error: unknown): unknown {
  if (!(error instanceof ConnectionFailed)) return error;
  return error.isFinal
    ? downloadFailed(url, error.message, error)
    : new Interrupted(error.message, { cause: error });
}

/** Aborts a connection on which nothing has arrived for this time. */
export class IdleTimer {
  readonly #abort = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(timeoutMs: number) {
    this.#timer = setTimeout(
      () => this.#abort.abort(new Interrupted('the server sent no more data')),
      timeoutMs,
    );
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  refresh(): void {
    this.#timer.refresh();
  }

  /** Stops the timer and aborts the connection. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#abort.abort();
  }
}
