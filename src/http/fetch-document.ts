// http: a document that a manifest names by its URL. The author of a manifest is not the operator of
// this host, so only hosts that the operator has named are asked, and no other answer is followed.

import { LIMITS } from '../config.ts';
import { VolantError } from '../lib/errors.ts';

export interface FetchedDocument {
  readonly contentType: string;
  readonly text: string;
}

/** DOCUMENT_UNREACHABLE tells what the operator can do where the host may not be asked. */
export async function fetchDocument(
  url: URL,
  allowedHosts: readonly string[],
): Promise<FetchedDocument> {
  const allowed = [url.hostname, url.host, '*'].some((host) => allowedHosts.includes(host));
  if (!allowed) {
    const why = `The document is at ${url.host}, which is not one of VOLANT_OPENAPI_HOSTS`;
    throw new VolantError('DOCUMENT_UNREACHABLE', why);
  }
  try {
    const response = await fetch(url, {
      redirect: 'error',
      signal: AbortSignal.timeout(LIMITS.documentFetchTimeoutMs),
    });
    const text = await collect(response);
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    return { contentType: response.headers.get('content-type') ?? '', text };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const why = `The document could not be fetched from ${url.host}: ${reason}`;
    throw new VolantError('DOCUMENT_UNREACHABLE', why, { cause });
  }
}

async function collect(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > LIMITS.documentBytesMax) throw new Error('it is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
