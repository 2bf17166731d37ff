// What users of images from the network rely on: one download for everybody, one that continues where it
// was cut, and nothing under its name that is not whole and right.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { test } from 'node:test';
import type { HostPorts } from '../../../../src/engine/ports/host-ports.ts';
import type { MediaProgress } from '../../../../src/engine/ports/media-ports.ts';
import { digestOf, hostWith, sendFile, serve } from './image-site.ts';

const IMAGE = randomBytes(3 * 1024 * 1024);
const fetchIt = (host: HostPorts, url: string, checksum: string | null = null) =>
  host.media.fetchMedium(url, checksum, () => undefined);

test('fifty at once are one download, and later ones are none', async (t) => {
  const { host, cached } = hostWith(t);
  const site = await serve(t, (request, response) => sendFile(request, response, IMAGE));
  const progress: MediaProgress[] = [];
  const found = await Promise.all(
    Array.from({ length: 50 }, () =>
      host.media.fetchMedium(site.url, null, (at) => progress.push(at)),
    ),
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

test('a download that breaks in the middle continues where it ended', async (t) => {
  const { host } = hostWith(t);
  const site = await serve(t, (request, response, count) => {
    if (count > 2) return sendFile(request, response, IMAGE);
    const etag = `"${digestOf(IMAGE).slice(0, 8)}"`;
    response.writeHead(200, { etag, 'content-length': IMAGE.length });
    response.write(IMAGE.subarray(0, 1024 * 1024), () => setTimeout(() => response.destroy(), 50));
  });
  const { realPath } = await fetchIt(host, site.url, `sha256:${digestOf(IMAGE).toUpperCase()}`);
  assert.deepEqual(readFileSync(realPath), IMAGE);
  const last = site.requests.at(-1)?.headers;
  assert.match(last?.range ?? '', /^bytes=[1-9]\d*-$/);
});

test('a file that has changed between two pieces begins again', async (t) => {
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
  const site = await serve(t, (request, response) => sendFile(request, response, IMAGE));
  await assert.rejects(fetchIt(host, site.url, 'a'.repeat(64)), {
    code: 'MEDIA_CHECKSUM_MISMATCH',
  });
  assert.deepEqual(cached(), []);
  assert.equal(site.requests.length, 1, 'another try would bring the same');
});

test('a server that refuses is reported as it is, one that has trouble is asked again', async (t) => {
  const { host } = hostWith(t);
  const gone = await serve(t, (_, response) => response.writeHead(404).end());
  await assert.rejects(fetchIt(host, gone.url), { code: 'MEDIA_DOWNLOAD_FAILED', message: /404/ });
  assert.equal(gone.requests.length, 1);
  const busy = await serve(t, (request, response, count) => {
    if (count < 3) response.writeHead(503).end();
    else sendFile(request, response, IMAGE);
  });
  await fetchIt(host, busy.url);
  assert.equal(busy.requests.length, 3);
});

test('redirects are followed, but not to hosts that the operator has not named', async (t) => {
  const { host } = hostWith(t, { VOLANT_MEDIA_HOSTS: '127.0.0.1' });
  const site = await serve(t, (request, response) => sendFile(request, response, IMAGE));
  const door = await serve(t, (_, response) =>
    response.writeHead(302, { location: site.url }).end(),
  );
  await fetchIt(host, door.url);
  const trap = await serve(t, (_, response) => {
    response.writeHead(302, { location: site.url.replace('127.0.0.1', 'localhost') }).end();
  });
  await assert.rejects(fetchIt(host, trap.url), { code: 'MEDIA_NOT_ALLOWED' });
});
