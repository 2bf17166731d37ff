// client: fetch by node:http and node:https. It takes a third of the processor time of the global fetch for a short answer, and
// supports unix sockets, an own certificate authority and every port. Redirects are not followed.

import type { IncomingMessage, RequestOptions } from 'node:http';
import { BufferedResponse } from './buffered-response.ts';
import type { Fetch, FetchInit } from './fetch.ts';

export type Where = RequestOptions & { readonly ca?: string };

const STATUSES_WITHOUT_BODY = [204, 205, 304];

/** Browsers have none of these modules, so they are loaded on use, and once. */
const loadModules = async () => {
  const [http, https, stream, zlib] = await Promise.all([
    import('node:http'),
    import('node:https'),
    import('node:stream'),
    import('node:zlib'),
  ]);
  return { http, https, stream, zlib };
};
type Modules = Awaited<ReturnType<typeof loadModules>>;
let loaded: Modules | undefined;

/** The socket or the authorities of `where` are for all requests. */
export function nodeFetch(where: Where): Fetch {
  return async (url, init) => {
    loaded ??= await loadModules();
    return exchange(loaded, where, url, init);
  };
}

function exchange(
  modules: Modules,
  where: Where,
  url: string,
  { method, headers, body, signal, whole = false }: FetchInit,
): Promise<Response> {
  const { request } = url.startsWith('https:') ? modules.https : modules.http;
  return new Promise((resolve, reject) => {
    const sent = request(url, { ...where, method, headers, signal });
    sent.once('error', reject);
    sent.once('response', (incoming) => {
      answerOf(modules, incoming, whole).then(resolve, (error: unknown) => {
        // A status above 599, which no Response has, or an answer that was cut off.
        incoming.destroy();
        reject(error);
      });
    });
    if (!(body instanceof ReadableStream)) return void sent.end(body);
    const { Readable } = modules.stream;
    const source = Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]);
    // A body that breaks must not look like one that is complete.
    source.once('error', (error) => sent.destroy(error));
    sent.once('close', () => source.destroy());
    source.pipe(sent);
  });
}

async function answerOf(
  modules: Modules,
  incoming: IncomingMessage,
  whole: boolean,
): Promise<Response> {
  const status = incoming.statusCode ?? 0;
  if (STATUSES_WITHOUT_BODY.includes(status)) {
    incoming.resume();
    return new Response(null, { status, headers: headersOf(incoming) });
  }
  const encoding = incoming.headers['content-encoding'];
  // A stream costs more than the rest of a short exchange.
  if (whole && encoding === undefined) {
    return new BufferedResponse(await bytesOf(incoming), status, () => headersOf(incoming));
  }
  const plain = decoded(modules, incoming, encoding);
  // node:stream and the global Response have different types for the same stream.
  const body = modules.stream.Readable.toWeb(plain) as ReadableStream<Uint8Array>;
  return new Response(body, { status, headers: headersOf(incoming) });
}

function headersOf({ rawHeaders }: IncomingMessage): Headers {
  const headers = new Headers();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    headers.append(rawHeaders[at] ?? '', rawHeaders[at + 1] ?? '');
  }
  return headers;
}

function bytesOf(incoming: IncomingMessage): Promise<Uint8Array<ArrayBuffer>> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.once('end', () => resolve(Buffer.concat(chunks)));
    incoming.once('error', reject);
  });
}

/** As the global fetch does: a coding that is not known is passed on. */
function decoded({ stream, zlib }: Modules, incoming: IncomingMessage, encoding = '') {
  const decoders = {
    gzip: zlib.createGunzip,
    'x-gzip': zlib.createGunzip,
    deflate: zlib.createInflate,
    br: zlib.createBrotliDecompress,
  };
  const name = encoding.toLowerCase();
  if (!Object.hasOwn(decoders, name)) return incoming;
  const decoder = decoders[name as keyof typeof decoders]();
  // The reader of the decoder sees each error of the two.
  stream.pipeline(incoming, decoder, () => undefined);
  return decoder;
}
