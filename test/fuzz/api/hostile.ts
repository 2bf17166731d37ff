// fuzz, api: what no well-meaning client sends: paths, headers, methods and bodies that programs have stumbled over.

import type { Random } from '../mutate.ts';

type Header = readonly [string, string];

const METHODS = [
  'HEAD',
  'OPTIONS',
  'PUT',
  'TRACE',
  'PATCH',
  'GET',
  'POST',
  'DELETE',
  'PROPFIND',
  'get',
  'G',
];
const ESCAPES = [
  '%00',
  '%2e%2e',
  '%2F',
  '%5c',
  '%ff%fe',
  '%',
  '%zz',
  '%ed%a0%80',
  '%0d%0aX: y',
  '%25',
  '..;',
];
const SEGMENTS = [
  '..',
  '.',
  '',
  '~',
  'a'.repeat(300),
  '\xc3\xa9',
  '\xff',
  ';a=b',
  '__proto__',
  'constructor',
  '*',
];
const QUERIES = [
  'limit=',
  '=',
  '&&&',
  'a',
  'limit=1&limit=2',
  'status=%00',
  'q=%ff',
  'strict=true',
  'after=-1',
];
const MORE_QUERIES = [
  'dry_run=true',
  'wait=running&timeout=0',
  `q=${'x'.repeat(3_000)}`,
  'sort=__proto__',
  'format=raw',
];

export function hostileMethod(random: Random): string {
  return random.pick(METHODS);
}

export function hostilePath(random: Random, target: string): string {
  const [path = '', query] = target.split('?');
  const segments = path.split('/');
  const at = 1 + random.below(segments.length);
  switch (random.below(5)) {
    case 0:
      segments.splice(at, 1, random.pick(SEGMENTS));
      break;
    case 1:
      segments.splice(at, 0, random.pick(SEGMENTS));
      break;
    case 2:
      segments[at] = `${segments[at] ?? ''}${random.pick(ESCAPES)}`;
      break;
    case 3:
      segments[at] = random.pick(ESCAPES) + (segments[at] ?? '');
      break;
    default:
      segments.push(random.pick(['', 'x', 'openapi', 'agent', 'console', 'logs']));
  }
  return segments.join('/') + (query === undefined ? '' : `?${query}`);
}

export function hostileQuery(random: Random, target: string): string {
  const added = random.pick([...QUERIES, ...MORE_QUERIES]);
  return `${target}${target.includes('?') ? '&' : '?'}${added}`;
}

const HEADERS: readonly Header[] = [
  ['Idempotency-Key', ''],
  ['Idempotency-Key', 'a b'],
  ['Idempotency-Key', '\xe9'],
  ['Idempotency-Key', 'k'.repeat(201)],
  ['If-Match', 'W/"1"'],
  ['If-Match', '"'],
  ['If-Match', '"a", *'],
  ['If-None-Match', '*'],
  ['If-Modified-Since', 'yesterday'],
  ['Range', 'bytes=0-1'],
  ['Accept', 'text/html;q=0.1, */*;q=0'],
  ['Accept-Encoding', 'gzip, br;q=1.0, *;q=0'],
  ['Content-Encoding', 'gzip'],
  ['Content-Type', 'text/plain'],
  ['Content-Type', 'application/json; charset=utf-16'],
  ['Content-Type', 'multipart/form-data; boundary=x'],
  ['Content-Type', ''],
  ['Content-Type', '\xff'],
  ['Authorization', 'Bearer x'],
  ['Authorization', 'Basic Og=='],
  ['X-API-Key', '\x7f'],
  ['Cookie', `a=${'b'.repeat(2_000)}`],
  ['X-Request-Id', 'mine-1'],
  ['X-Request-Id', 'a b\xe9'],
  ['X-Request-Id', 'r'.repeat(500)],
  ['X-Forwarded-For', '10.0.0.1, evil'],
  ['X-HTTP-Method-Override', 'DELETE'],
  ['Last-Event-ID', '-1'],
  ['Last-Event-ID', '99999999999999999999999'],
  ['Last-Event-ID', 'x'],
  ['Origin', 'null'],
  ['Origin', 'http://elsewhere.example'],
  ['Access-Control-Request-Method', 'DELETE'],
  ['Mcp-Protocol-Version', '1999-01-01'],
  ['Mcp-Method', 'x'],
  ['Accept-Language', '*'.repeat(500)],
];

/** One more, or one twice. */
export function hostileHeaders(random: Random, headers: readonly Header[]): readonly Header[] {
  const added = random.pick(HEADERS);
  if (random.below(3) === 0) return [...headers, added, random.pick(HEADERS), added];
  return random.below(2) === 0 ? [...headers, added] : [added, ...headers];
}

const TEXTS = [
  '',
  '{',
  '[',
  'null',
  '"',
  '[]',
  '{}',
  '0',
  '-',
  '{"a":1,}',
  '{"name":"a","name":"b"}',
  '\ufeff{}',
];
const MORE_TEXTS = [
  '{"__proto__":{"a":1}}',
  '{"constructor":{"prototype":{}}}',
  '{"name":"\\ud800"}',
  '{"name":"\\u0000"}',
];
const NUMBERS = [
  '1e400',
  '-1e400',
  '9007199254740993',
  '0.1e-400',
  '-0',
  '1e15',
  '123456789012345678901234567890',
];

export function hostileBody(random: Random, body: Buffer | null): Buffer {
  const text = body?.toString() ?? '{}';
  switch (random.below(10)) {
    case 0:
      return Buffer.from(random.pick([...TEXTS, ...MORE_TEXTS]));
    case 1: {
      const levels = random.pick([10, 63, 64, 65, 1_000, 20_000]);
      const deep = `${'['.repeat(levels)}${']'.repeat(levels)}`;
      return Buffer.from(
        withMember(text, `"metadata":${deep},"config":{"metadata":{"a":${deep}}}`),
      );
    }
    case 2:
      return Buffer.from(text.replace(/\b\d+\b/, () => random.pick(NUMBERS)));
    case 3:
      return Buffer.from(text.slice(0, random.below(text.length + 1)));
    case 4:
      return Buffer.concat([Buffer.from(text), Buffer.from([random.pick([0, 0x20, 0x7d, 0xff])])]);
    case 5:
      return Buffer.from(text, 'utf16le');
    case 6:
      return Buffer.from(
        withMember(text, `"pad":"${'p'.repeat(random.pick([1_000, 60_000, 1_100_000]))}"`),
      );
    case 7:
      return Buffer.from(`[${text}]`);
    case 8:
      return Buffer.from(text.replace(/"([^"]*)"/, '"$1\xff\ud800"'), 'latin1');
    default:
      return Buffer.from(
        withMember(
          text,
          `${JSON.stringify(random.pick(['nope', '', '\0', 'a.b[0]', 'x'.repeat(5_000)]))}:1`,
        ),
      );
  }
}

/** An object's text with one more member. */
function withMember(text: string, member: string): string {
  return /^\{\s*\}$/.test(text) || !text.startsWith('{')
    ? `{${member}}`
    : `{${member},${text.slice(1)}`;
}
