// http: a document that a manifest names by its URL. The author of a manifest is not the operator of
// this host, so only hosts that the operator has named are asked, and no redirect is followed.

import { LIMITS } from '../config.ts';
import { VolantError } from '../lib/errors.ts';
import { AddressRefused, type GuardedAnswer, guardedGet, isNamedHost } from '../lib/guarded-get.ts';
import type { Outbound } from '../lib/proxy.ts';

export interface FetchedDocument {
  readonly contentType: string;
  readonly text: string;
}

/** DOCUMENT_UNREACHABLE tells what the operator can do where the host may not be asked. */
export async function fetchDocument(
  url: URL,
  allowedHosts: readonly string[],
  outbound: Outbound,
): Promise<FetchedDocument> {
  const isNamed = isNamedHost(url, allowedHosts);
  if (!isNamed && !allowedHosts.includes('*')) {
    const why = `The document is at ${url.host}, which is not one of VOLANT_OPENAPI_HOSTS`;
    throw new VolantError('DOCUMENT_UNREACHABLE', why);
  }
  try {
    if (url.username !== '' || url.password !== '') {
      throw new Error('its URL has a user or a password');
    }
    const signal = AbortSignal.timeout(LIMITS.documentFetchTimeoutMs);
    const response = await guardedGet(url, { headers: new Headers(), signal, isNamed, outbound });
    const text = await collect(response);
    if (response.status < 200 || response.status > 299) {
      throw new Error(`it answered ${response.status}`);
    }
    return { contentType: response.headers.get('content-type') ?? '', text };
  } catch (cause) {
    const reason = reasonOf(cause);
    const why = `The document could not be fetched from ${url.host}: ${reason}`;
    throw new VolantError('DOCUMENT_UNREACHABLE', why, { cause });
  }
}

async function collect(response: GuardedAnswer): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += chunk.length;
    if (bytes > LIMITS.documentBytesMax) throw new Error('it is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function reasonOf(cause: unknown): string {
  if (cause instanceof AddressRefused) {
    return `${cause.message}, which VOLANT_OPENAPI_HOSTS must name; "*" stands for public ones`;
  }
  return cause instanceof Error ? cause.message : String(cause);
}
