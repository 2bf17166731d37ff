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
import { JobFault } from './fault.ts';
import { NO_VALIDATORS, type Validators } from './partial.ts';

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
  /** A version that is here as a whole: the server shall say whether it is the same still. */
  readonly known: Validators | null;
  /** A version of which the first bytes are here. */
  readonly begun: { readonly version: string; readonly bytes: number } | null;
}

/** A body that is on its way. */
export interface Delivery {
  /** 0, or the bytes that are here already. */
  readonly offset: number;
  /** Of the whole file; null when the server does not say. */
  readonly totalBytes: number | null;
  readonly validators: Validators;
  readonly body: AsyncIterable<Uint8Array>;
}

/** MEDIA_DOWNLOAD_FAILED, MEDIA_NOT_ALLOWED; Interrupted. Rejects with the signal's reason, too. */
export async function askServer(
  question: Question,
  signal: AbortSignal,
): Promise<'unchanged' | Delivery> {
  const response = await followed(question, signal);
  const { status, headers } = response;
  if (status === 304) {
    response.cancel();
    return 'unchanged';
  }
  if (status === 206) return restOf(question, response);
  if (status === 200) {
    // What is packed for the way has another length, and its parts are no parts of the file.
    const isPlain = headers.get('content-encoding') === null;
    const totalBytes = isPlain ? numberIn(headers.get('content-length')) : null;
    const validators = isPlain ? validatorsOf(headers) : NO_VALIDATORS;
    return { offset: 0, totalBytes, validators, body: response.body };
  }
  response.cancel();
  const problem = `the server answered ${status}`;
  if (status === 416) throw new Unresumable(problem);
  throw TRANSIENT.has(status) ? new Interrupted(problem) : downloadFailed(question.url, problem);
}

/** The rest of a file, or a part of the rest: then the answer is shorter than the file, and one asks again. */
function restOf({ begun }: Question, response: GuardedAnswer): Delivery {
  const range = response.headers.get('content-range') ?? '';
  const [, from, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(range) ?? [];
  const isPlain = response.headers.get('content-encoding') === null;
  if (begun === null || !isPlain || Number(from) !== begun.bytes || total === undefined) {
    response.cancel();
    throw new Unresumable('the server sent another part than it was asked for');
  }
  const validators = validatorsOf(response.headers);
  const totalBytes = Number(total);
  return { offset: begun.bytes, totalBytes, validators, body: response.body };
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
  const { hosts } = question;
  const isNamed = isNamedHost(url, hosts);
  if (!isNamed && hosts.length > 0 && !hosts.includes('*')) {
    const why = `${url.hostname} is not among the hosts of VOLANT_MEDIA_HOSTS`;
    throw new JobFault('MEDIA_NOT_ALLOWED', why);
  }
  try {
    return await guardedGet(url, { headers: headersFor(question), signal, isNamed });
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
    headers.set('if-range', begun.version);
    headers.set('range', `bytes=${begun.bytes}-`);
  }
  return headers;
}

function validatorsOf(headers: Headers): Validators {
  return { etag: headers.get('etag'), lastModified: headers.get('last-modified') };
}

function numberIn(text: string | null): number | null {
  return text !== null && /^\d+$/.test(text) ? Number(text) : null;
}

/** MEDIA_DOWNLOAD_FAILED with the file that it is about. */
export function downloadFailed(url: string, why: string, cause?: unknown): JobFault {
  const message = `${withoutSecrets(url)} cannot be downloaded: ${why}`;
  return new JobFault('MEDIA_DOWNLOAD_FAILED', message, cause);
}

/** A failure of the network may pass; every other error stays what it is. */
export function asInterrupted(error: unknown): unknown {
  return error instanceof ConnectionFailed ? new Interrupted(error.message) : error;
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
