// fuzz, api: bytes that came from a server -> an HTTP/1.1 answer, strictly: what a lenient client would correct is reported.

export interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export type Parsed =
  /** More must come. */
  | { readonly kind: 'part' }
  /** The head is whole, and the body has no end yet: chunks, of which some may have come. */
  | { readonly kind: 'stream'; readonly answer: RawAnswer }
  | { readonly kind: 'whole'; readonly answer: RawAnswer; readonly length: number }
  | { readonly kind: 'malformed'; readonly why: string };

const PART: Parsed = { kind: 'part' };

/** What has come of an answer. Bodies without a length end with the connection. */
export function parseAnswer(bytes: Buffer, isHead: boolean, isClosed: boolean): Parsed {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return bytes.length === 0 || !isClosed ? PART : malformed('the head has no end');
  const [first = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const [, digits] = /^HTTP\/1\.1 (\d{3}) .+$/.exec(first) ?? [];
  if (digits === undefined) return malformed(`the first line is ${JSON.stringify(first)}`);
  const status = Number(digits);
  const headers = new Headers();
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([^\0\r\n]*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) {
      return malformed(`a header is ${JSON.stringify(line)}`);
    }
    const isOnce = ['content-length', 'content-type', 'x-request-id', 'etag'].includes(
      name.toLowerCase(),
    );
    if (isOnce && headers.has(name)) return malformed(`${name} is there twice`);
    headers.append(name, value);
  }
  const body = bytes.subarray(end + 4);
  const make = (text: Buffer): RawAnswer => ({ status, headers, text: text.toString() });
  const whole = (text: Buffer, length: number): Parsed => ({
    kind: 'whole',
    answer: make(text),
    length: end + 4 + length,
  });
  if (isHead || status < 200 || status === 204 || status === 304) return whole(Buffer.alloc(0), 0);
  const length = headers.get('content-length');
  if (length !== null) {
    if (!/^\d+$/.test(length)) return malformed(`the length is ${length}`);
    if (body.length >= Number(length))
      return whole(body.subarray(0, Number(length)), Number(length));
    return isClosed ? malformed('the body was cut off') : PART;
  }
  if (headers.get('transfer-encoding') === 'chunked') return parseChunks(body, make, whole);
  return isClosed ? whole(body, body.length) : { kind: 'stream', answer: make(body) };
}

function parseChunks(
  body: Buffer,
  make: (text: Buffer) => RawAnswer,
  whole: (text: Buffer, length: number) => Parsed,
): Parsed {
  const chunks: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = body.indexOf('\r\n', at);
    if (lineEnd < 0) break;
    const line = body.subarray(at, lineEnd).toString('latin1');
    if (!/^[0-9a-fA-F]+$/.test(line))
      return malformed(`a chunk's length is ${JSON.stringify(line)}`);
    const length = Number.parseInt(line, 16);
    const next = lineEnd + 2 + length + 2;
    if (body.length < next) break;
    if (length === 0) return whole(Buffer.concat(chunks), next);
    chunks.push(body.subarray(lineEnd + 2, next - 2));
    at = next;
  }
  return { kind: 'stream', answer: make(Buffer.concat(chunks)) };
}

function malformed(why: string): Parsed {
  return { kind: 'malformed', why };
}
