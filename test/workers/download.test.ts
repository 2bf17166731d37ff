// What users of images from the network rely on: one download for everybody, one that goes on where it
// was cut, and nothing under its name that is not whole and right.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadConfig } from '../../src/config.ts';
import type { HostPort, MediaProgress } from '../../src/engine/ports.ts';
import { createHost } from '../../src/workers/pool.ts';
import { silentLog } from '../engine/fakes.ts';

const IMAGE = randomBytes(3 * 1024 * 1024);
const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

interface Site {
  readonly url: string;
  readonly requests: IncomingMessage[];
}

async function serve(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse, count: number) => void,
): Promise<Site> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    answer(request, response, requests.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/image`, requests };
}

/** A server that knows ranges and versions, as those of images do. */
function sendFile(request: IncomingMessage, response: ServerResponse, bytes = IMAGE): void {
  const etag = `"${digestOf(bytes).slice(0, 8)}"`;
  const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
  const from = range !== null && request.headers['if-range'] === etag ? Number(range[1]) : 0;
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304).end();
    return;
  }
  response.writeHead(from > 0 ? 206 : 200, {
    etag,
    'content-length': bytes.length - from,
    ...(from > 0 ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
  });
  response.end(bytes.subarray(from));
}

function hostWith(t: TestContext, settings: Record<string, string> = {}) {
  const home = mkdtempSync(join(tmpdir(), 'volant-cache-'));
  const host = createHost(loadConfig({ VOLANT_HOME: home, ...settings }), silentLog);
  t.after(async () => {
    await host.close();
    rmSync(home, { recursive: true });
  });
  return { host, cached: () => readdirSync(join(home, 'cache/sha256')), home };
}

const fetchIt = (host: HostPort, url: string, checksum: string | null = null) =>
  host.fetchMedium(url, checksum, () => undefined);

test('fifty at once are one download, and later ones are none', async (t) => {
  const { host, cached } = hostWith(t);
  const site = await serve(t, (request, response) => sendFile(request, response));
  const progress: MediaProgress[] = [];
  const found = await Promise.all(
    Array.from({ length: 50 }, () => host.fetchMedium(site.url, null, (at) => progress.push(at))),
  );
  assert.equal(site.requests.length, 1);
  assert.equal(new Set(found.map(({ realPath }) => realPath)).size, 1);
  assert.deepEqual(cached(), [digestOf(IMAGE)]);
  assert.deepEqual(readFileSync(found[0]?.realPath ?? ''), IMAGE);
  assert.equal(progress[0]?.totalBytes, IMAGE.length);
  await fetchIt(host, site.url, digestOf(IMAGE));
  assert.equal(site.requests.length, 1, 'what is known by its checksum is not asked for');
  await fetchIt(host, site.url);
  assert.equal(site.requests.length, 2, 'else the server says whether it is the same still');
});

test('a download that is cut in the middle goes on where it ended', async (t) => {
  const { host } = hostWith(t);
  const site = await serve(t, (request, response, count) => {
    if (count > 2) return sendFile(request, response);
    const etag = `"${digestOf(IMAGE).slice(0, 8)}"`;
    response.writeHead(200, { etag, 'content-length': IMAGE.length });
    response.write(IMAGE.subarray(0, 1024 * 1024), () => setTimeout(() => response.destroy(), 50));
  });
  const { realPath } = await fetchIt(host, site.url, `sha256:${digestOf(IMAGE).toUpperCase()}`);
  assert.deepEqual(readFileSync(realPath), IMAGE);
  const last = site.requests.at(-1)?.headers;
  assert.match(last?.range ?? '', /^bytes=[1-9]\d*-$/);
});

test('a file that has changed between two pieces begins anew', async (t) => {
  const { host } = hostWith(t);
  const other = randomBytes(1024 * 1024);
  const site = await serve(t, (request, response, count) => {
    if (count > 1) return sendFile(request, response, other);
    response.writeHead(200, { etag: '"old"', 'content-length': IMAGE.length });
    response.write(IMAGE.subarray(0, 4096), () => setTimeout(() => response.destroy(), 50));
  });
  const { realPath } = await fetchIt(host, site.url);
  assert.deepEqual(readFileSync(realPath), other);
});

test('the same content, downloaded again, is the file that was there', async (t) => {
  const { host } = hostWith(t);
  const site = await serve(t, (_, response) => response.writeHead(200).end(IMAGE));
  const first = statSync((await fetchIt(host, site.url)).realPath);
  const second = statSync((await fetchIt(host, site.url)).realPath);
  assert.equal(site.requests.length, 2);
  assert.equal(second.ino, first.ino);
  assert.equal(second.mtimeMs, first.mtimeMs);
});

test('what does not have its checksum is refused and not kept', async (t) => {
  const { host, cached } = hostWith(t);
  const site = await serve(t, (request, response) => sendFile(request, response));
  await assert.rejects(fetchIt(host, site.url, 'a'.repeat(64)), {
    code: 'MEDIA_CHECKSUM_MISMATCH',
  });
  assert.deepEqual(cached(), []);
  assert.equal(site.requests.length, 1, 'another try would bring the same');
});

test('a server that refuses is told as it is, one that has trouble is asked again', async (t) => {
  const { host } = hostWith(t);
  const gone = await serve(t, (_, response) => response.writeHead(404).end());
  await assert.rejects(fetchIt(host, gone.url), { code: 'MEDIA_DOWNLOAD_FAILED', message: /404/ });
  assert.equal(gone.requests.length, 1);
  const busy = await serve(t, (request, response, count) => {
    if (count < 3) response.writeHead(503).end();
    else sendFile(request, response);
  });
  await fetchIt(host, busy.url);
  assert.equal(busy.requests.length, 3);
});

test('redirects are followed, but not to hosts that the operator has not named', async (t) => {
  const { host } = hostWith(t, { VOLANT_MEDIA_HOSTS: '127.0.0.1' });
  const site = await serve(t, (request, response) => sendFile(request, response));
  const door = await serve(t, (_, response) =>
    response.writeHead(302, { location: site.url }).end(),
  );
  await fetchIt(host, door.url);
  const trap = await serve(t, (_, response) => {
    response.writeHead(302, { location: site.url.replace('127.0.0.1', 'localhost') }).end();
  });
  await assert.rejects(fetchIt(host, trap.url), { code: 'MEDIA_NOT_ALLOWED' });
});

test('a file that does not fit on the disk is refused before its first byte', async (t) => {
  const { host, home } = hostWith(t);
  const site = await serve(t, (_, response) => {
    response.writeHead(200, { 'content-length': 2 ** 50 });
    response.write('begin');
  });
  await assert.rejects(fetchIt(host, site.url), { code: 'DISK_SPACE_LOW' });
  const partial = readdirSync(join(home, 'cache/partial')).filter(
    (name) => !name.endsWith('.json'),
  );
  for (const name of partial)
    assert.equal(readFileSync(join(home, 'cache/partial', name)).length, 0);
});
