// workers: what servers of images are asked, and what their answers mean. Nothing is written here.

import { LIMITS } from '../../config.ts';
import {
  AddressRefused,
  ConnectionFailed,
  type GuardedAnswer,
  guardedGet,
  isNamedHost,
} from '../../lib/guarded-get.ts';
import { withoutSecrets } from '../../lib/image-location.ts';
import type { Outbound } from '../../lib/proxy.ts';
import { JobFault } from './fault.ts';
import { NO_VERSION, type Validators, type Version } from './partial.ts';

const REDIRECTS_MAX = 5;
/** Statuses after which another try may succeed. */
const TRANSIENT = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Another try may help. */
export class Interrupted extends Error {}

/** Another try may help when it begins at the first byte. */
export class Unresumable extends Interrupted {}

export interface Question {
  readonly url: string;
  /** Hosts that may be asked wherever they are; those at public addresses may be asked, too, if there is none, or "*". */
  readonly hosts: readonly string[];
  readonly outbound: Outbound;
  /** A version that is here as a whole: the server shall say whether it is the same still. */
  readonly known: Validators | null;
  /** A version of which the first bytes are here. */
  readonly begun: Begun | null;
  /** What comes is compared with a checksum: then a cut end shows, whatever the server says. */
  readonly isChecked: boolean;
}

interface Begun {
  readonly version: Version;
  /** By what the server is asked for the rest of this version only. */
  readonly condition: string;
  readonly bytes: number;
}

/** A body that is on its way. */
export interface Delivery {
  /** 0, or the bytes that are here already. */
  readonly offset: number;
  /** Where in the file the body ends, which may be before its end; null when the server does not say. */
  readonly endBytes: number | null;
  readonly version: Version;
  readonly body: AsyncIterable<Uint8Array>;
}

/** MEDIA_DOWNLOAD_FAILED, MEDIA_NOT_ALLOWED; Interrupted. Rejects with the signal's reason, too. */
export async function askServer(
  question: Question,
  signal: AbortSignal,
): Promise<'unchanged' | Delivery> {
  const response = await followed(question, signal);
  const { status } = response;
  if (status === 304) {
    response.cancel();
    return 'unchanged';
  }
  if (status === 206) return restOf(question, response);
  if (status === 200) return whole(question, response);
  response.cancel();
  const problem = `the server answered ${status}`;
  if (status === 416) throw new Unresumable(problem);
  throw TRANSIENT.has(status) ? new Interrupted(problem) : downloadFailed(question.url, problem);
}

/** All of a file, from its first byte: of a server that knows no ranges, or that has another version now. */
function whole({ url, isChecked }: Question, response: GuardedAnswer): Delivery {
  const { headers, body } = response;
  if (!isChecked && !response.showsItsEnd) {
    response.cancel();
    const why = 'the server does not say where the file ends, so one that was cut would be taken';
    throw downloadFailed(url, `${why}; give its checksum`);
  }
  // What is packed for the way has another length, and its parts are no parts of the file.
  if (!isPlain(headers)) return { offset: 0, endBytes: null, version: NO_VERSION, body };
  const totalBytes = numberIn(headers.get('content-length'));
  return {
    offset: 0,
    endBytes: totalBytes,
    version: { ...validatorsOf(headers), totalBytes },
    body,
  };
}

/** The rest of a file, or a part of the rest: then the answer is shorter than the file, and one asks again. */
function restOf({ begun }: Question, response: GuardedAnswer): Delivery {
  const { headers, body } = response;
  const part = partIn(headers);
  const isAsked = begun !== null && part?.fromBytes === begun.bytes && isPlain(headers);
  if (!isAsked || part === null) {
    response.cancel();
    throw new Unresumable('the server sent another part than it was asked for');
  }
  const { endBytes, totalBytes } = part;
  if (!isOfVersion(begun.version, headers, totalBytes)) {
    response.cancel();
    throw new Unresumable('the server has another version now');
  }
  return { offset: begun.bytes, endBytes, version: { ...begun.version, totalBytes }, body };
}

/** Which part of a file an answer has; null when it does not say, or contradicts itself. */
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
 * Whether a part belongs to the version that was begun. `If-Range` asks for that; servers, and caches before
 * them, answer with what they have all the same. What was told of the version must be told again, but for a
 * time of change beside a strong ETag, which may be left out (RFC 9110, 15.3.7).
 */
function isOfVersion(begun: Version, headers: Headers, totalBytes: number): boolean {
  const etag = headers.get('etag');
  const lastModified = headers.get('last-modified');
  if (begun.totalBytes !== null && begun.totalBytes !== totalBytes) return false;
  if (etag !== begun.etag) return false;
  const mayBeMissing = begun.etag !== null && lastModified === null;
  return mayBeMissing || begun.lastModified === null || lastModified === begun.lastModified;
}

/** Redirects are followed here, so that none leads to a host that is not allowed. */
async function followed(question: Question, signal: AbortSignal): Promise<GuardedAnswer> {
  let url = new URL(question.url);
  for (let count = 0; count <= REDIRECTS_MAX; count += 1) {
    const response = await ask(url, question, signal);
    const location = response.headers.get('location');
    if (response.status < 300 || response.status > 399 || location === null) return response;
    response.cancel();
    if (!URL.canParse(location, url.href)) {
      throw downloadFailed(question.url, 'it leads to something that is no URL');
    }
    url = new URL(location, url);
  }
  throw downloadFailed(question.url, `more than ${REDIRECTS_MAX} redirects`);
}

async function ask(url: URL, question: Question, signal: AbortSignal): Promise<GuardedAnswer> {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw downloadFailed(question.url, 'only http and https are fetched');
  }
  if (url.username !== '' || url.password !== '') {
    throw downloadFailed(question.url, 'it leads to a URL with a user or a password');
  }
  const { hosts, outbound } = question;
  const isNamed = isNamedHost(url, hosts);
  if (!isNamed && hosts.length > 0 && !hosts.includes('*')) {
    const why = `${url.hostname} is not among the hosts of VOLANT_MEDIA_HOSTS`;
    throw new JobFault('MEDIA_NOT_ALLOWED', why);
  }
  try {
    return await guardedGet(url, { headers: headersFor(question), signal, isNamed, outbound });
  } catch (error) {
    if (!(error instanceof AddressRefused)) throw error;
    const why = `${error.message}: downloads come from there only if VOLANT_MEDIA_HOSTS names the host`;
    throw new JobFault('MEDIA_NOT_ALLOWED', why);
  }
}

function headersFor({ known, begun }: Question): Headers {
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

/** "identity" says in words that nothing is packed. */
function isPlain(headers: Headers): boolean {
  const coding = headers.get('content-encoding')?.trim().toLowerCase() ?? '';
  return coding === '' || coding === 'identity';
}

function numberIn(text: string | null): number | null {
  return text !== null && /^\d+$/.test(text) ? Number(text) : null;
}

/** MEDIA_DOWNLOAD_FAILED with the file that it is about. */
export function downloadFailed(url: string, why: string, cause?: unknown): JobFault {
  const message = `${withoutSecrets(url)} cannot be downloaded: ${why}`;
  return new JobFault('MEDIA_DOWNLOAD_FAILED', message, cause);
}

/** Most failures of the network may pass; every other error stays what it is. */
export function asInterrupted(url: string, error: unknown): unknown {
  if (!(error instanceof ConnectionFailed)) return error;
  return error.isFinal
    ? downloadFailed(url, error.message, error)
    : new Interrupted(error.message, { cause: error });
}

/** Ends a connection on which nothing comes for LIMITS.mediaIdleTimeoutMs. */
export class IdleTimer {
  readonly #abort = new AbortController();
  readonly #timer = setTimeout(
    () => this.#abort.abort(new Interrupted('the server fell silent')),
    LIMITS.mediaIdleTimeoutMs,
  );

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  refresh(): void {
    this.#timer.refresh();
  }

  /** Ends the connection, too. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#abort.abort();
  }
}
