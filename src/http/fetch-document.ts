// http: fetches a document that a manifest names by its URL. The author of a manifest is not the operator of this host, so
// only hosts that the operator has listed are contacted, and no redirect is followed.

import { LIMITS } from '../config/limits.ts';
import { VolantError } from '../lib/errors.ts';
import { collect } from '../lib/net/collect.ts';
import { AddressRefused, guardedGet, isNamedHost } from '../lib/net/guarded-get.ts';
import type { Outbound } from '../lib/net/proxy.ts';

export interface FetchedDocument {
  readonly contentType: string;
  readonly text: string;
}

/** Throws DOCUMENT_UNREACHABLE. Its message names the setting to change if the host is not allowed. */
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
      throw new Error('its URL contains a user name or a password');
    }
    const signal = AbortSignal.timeout(LIMITS.documentFetchTimeoutMs);
    const response = await guardedGet(url, { headers: new Headers(), signal, isNamed, outbound });
    const { bytes, isWhole } = await collect(response.body, LIMITS.documentBytesMax);
    if (!isWhole) throw new Error('it is too long');
    if (response.status < 200 || response.status > 299) {
      throw new Error(`it answered ${response.status}`);
    }
    return { contentType: response.headers.get('content-type') ?? '', text: bytes.toString() };
  } catch (cause) {
    const reason = reasonOf(cause);
    const why = `The document could not be fetched from ${url.host}: ${reason}`;
    throw new VolantError('DOCUMENT_UNREACHABLE', why, { cause });
  }
}

function reasonOf(cause: unknown): string {
  if (cause instanceof AddressRefused) {
    return `${cause.message}, which VOLANT_OPENAPI_HOSTS must name; "*" stands for public ones`;
  }
  return cause instanceof Error ? cause.message : String(cause);
}
