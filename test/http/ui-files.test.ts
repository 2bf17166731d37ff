// http, ui: the files of the dashboard: what is answered for them and with which headers, and that nothing else of the host
// can be had.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { readUiFiles } from '../../src/http/ui/ui-files.ts';
import { ask, errorIn, outcome, startServer } from './harness.ts';

const PAGE = '<!doctype html><title>page</title>';
/** Longer than what is written at once. */
const SCRIPT = 'export const text = "a";\n'.repeat(8_000);

function folder(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-ui-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (const [name, text] of [
    ['index.html', PAGE],
    ['app-ABCDEFGH.js', SCRIPT],
  ] as const) {
    writeFileSync(join(directory, name), text);
    writeFileSync(join(directory, `${name}.gz`), gzipSync(text));
  }
  return directory;
}

const serve = (t: TestContext) => startServer(t, { uiDirectory: folder(t) });

test('the page and its files are served without a key, and may load nothing from elsewhere', async (t) => {
  const server = await startServer(t, {
    uiDirectory: folder(t),
    environment: { VOLANT_API_KEY: 'a-key' },
  });
  const page = await ask(server, 'GET /ui/');
  assert.equal(page.status, 200);
  assert.equal(page.text, PAGE);
  assert.equal(page.headers['content-type'], 'text/html; charset=utf-8');
  assert.equal(page.headers['cache-control'], 'no-cache');
  assert.equal(page.headers['x-content-type-options'], 'nosniff');
  assert.equal(page.headers['referrer-policy'], 'no-referrer');
  const policy = String(page.headers['content-security-policy']);
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe|\*|http/);
  const script = await ask(server, 'GET /ui/app-ABCDEFGH.js');
  assert.equal(script.text, SCRIPT);
  assert.equal(script.headers['content-type'], 'text/javascript; charset=utf-8');
  assert.match(String(script.headers['cache-control']), /immutable/);
  assert.equal((await ask(server, 'GET /api/v1/vms')).status, 401);
});

test('the address without a slash leads to the page, also below the prefix of a proxy', async (t) => {
  const answer = await ask(await serve(t), 'GET /ui');
  assert.equal(answer.status, 308);
  assert.equal(answer.headers['location'], 'ui/');
});

test('who takes gzip gets it, with a tag of its own, and the same content is not sent again', async (t) => {
  const server = await serve(t);
  const { port } = server.address as { port: number };
  const url = `http://127.0.0.1:${port}/ui/app-ABCDEFGH.js`;
  const get = (headers: Record<string, string>) => fetch(url, { headers });
  const packed = await get({ 'Accept-Encoding': 'gzip' });
  assert.equal(packed.headers.get('content-encoding'), 'gzip');
  assert.equal(packed.headers.get('vary'), 'Accept-Encoding');
  assert.equal(await packed.text(), SCRIPT);
  const plain = await get({ 'Accept-Encoding': 'gzip;q=0, br' });
  assert.equal(plain.headers.get('content-encoding'), null);
  assert.equal(await plain.text(), SCRIPT);
  const tag = plain.headers.get('etag') ?? '';
  assert.notEqual(tag, packed.headers.get('etag'));
  for (const known of [tag, `"other", W/${tag}`, '*']) {
    const headers = { 'Accept-Encoding': 'identity', 'If-None-Match': known };
    const again = await get(headers);
    assert.equal(again.status, 304, known);
    assert.equal(again.headers.get('etag'), tag);
    assert.equal(await again.text(), '');
  }
  const other = await get({ 'Accept-Encoding': 'identity', 'If-None-Match': '"other"' });
  assert.equal(other.status, 200);
});

test('HEAD, other methods and unknown names are answered as everywhere', async (t) => {
  const server = await serve(t);
  const head = await ask(server, 'HEAD /ui/app-ABCDEFGH.js');
  assert.equal(head.status, 200);
  assert.equal(head.headers['content-length'], String(SCRIPT.length));
  assert.equal(head.text, '');
  const post = await ask(server, 'POST /ui/');
  assert.equal(outcome(post), '405 METHOD_NOT_ALLOWED');
  assert.equal(post.headers['allow'], 'GET, HEAD, OPTIONS');
  for (const name of [
    'nothing.js',
    'index.html.gz',
    'app-ABCDEFGH.js/',
    '..%2f..%2fetc/passwd',
    '%00',
    'constructor',
    '',
  ].filter((text) => text !== '')) {
    const answer = await ask(server, `GET /ui/${name}`);
    assert.ok(['404 ROUTE_NOT_FOUND', '400 PARAMETER_INVALID'].includes(outcome(answer)), name);
  }
  const foreign = await ask(server, 'GET /ui/', { headers: { Origin: 'http://evil.example' } });
  assert.equal(outcome(foreign), '403 ORIGIN_FORBIDDEN');
});

test('a daemon without a built dashboard says so', async (t) => {
  const server = await startServer(t, { uiDirectory: '/nonexistent' });
  for (const target of ['GET /ui/', 'GET /ui/app.js']) {
    const answer = await ask(server, target);
    assert.equal(outcome(answer), '404 ROUTE_NOT_FOUND');
    assert.match(errorIn(answer).error ?? '', /not built here: run `npm run build`/);
  }
});

test('what the build compressed is what it is of, and a strange folder is refused', async (t) => {
  const directory = folder(t);
  const files = await readUiFiles(directory);
  for (const file of files?.values() ?? []) {
    assert.deepEqual(gunzipSync(file.gzip ?? Buffer.of()), Buffer.from(file.plain));
  }
  writeFileSync(join(directory, 'secret.pem'), 'x');
  await assert.rejects(readUiFiles(directory), /secret\.pem has an unknown type/);
});
