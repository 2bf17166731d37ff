// What users of images rely on when the network and the servers are not as they should be: what arrives is
// whole and right, what has arrived is not asked for again, and nobody waits for the downloads of others.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { LIMITS } from '../../../../src/config/limits.ts';
import { digestOf, etagOf, hostWith, jobIn, sendFile, serve, startOf } from './image-site.ts';

const IMAGE = randomBytes(3 * 1024 * 1024);
const DIGEST = digestOf(IMAGE);
const MEBIBYTE = 2 ** 20;

suite('servers and lines that are bad', () => {
  test('a connection that breaks repeatedly is no reason to give up, as long as something comes', async (t) => {
    const { job } = jobIn(t);
    const step = 200 * 1024;
    const site = await serve(t, (request, response) => {
      sendFile(request, response, IMAGE, startOf(request, etagOf(IMAGE)) + step);
    });
    const { realPath } = await job(site.url);
    assert.deepEqual(readFileSync(realPath), IMAGE);
    assert.ok(site.requests.length > 2 * LIMITS.mediaAttemptsMax);
  });

  test('one on which nothing comes is given up', async (t) => {
    const { job } = jobIn(t);
    const site = await serve(t, (_, response) => response.destroy());
    const message = /cannot be downloaded: the connection broke before all data had arrived$/;
    await assert.rejects(job(site.url), { code: 'MEDIA_DOWNLOAD_FAILED', message });
    assert.equal(site.requests.length, LIMITS.mediaAttemptsMax);
  });

  test('all of it may take only so long', async (t) => {
    const { job, partials } = jobIn(t, { mediaTimeoutMs: 2_000 });
    const site = await serve(t, (_, response) => {
      response.writeHead(200, { etag: '"1"', 'content-length': 100 }).write('begin');
    });
    await assert.rejects(job(site.url), { code: 'MEDIA_DOWNLOAD_FAILED', message: /2000 ms/ });
    assert.equal(partials().length, 2, 'what has arrived is kept');
  });

  test('a part of the rest is not taken for all of it', async (t) => {
    const { job } = jobIn(t);
    const etag = etagOf(IMAGE);
    const site = await serve(t, (request, response, count) => {
      if (count === 1) return sendFile(request, response, IMAGE, MEBIBYTE);
      const from = startOf(request, etag);
      const to = Math.min(from + MEBIBYTE / 2, IMAGE.length);
      response.writeHead(206, {
        etag,
        'content-range': `bytes ${from}-${to - 1}/${IMAGE.length}`,
        'content-length': to - from,
      });
      response.end(IMAGE.subarray(from, to));
    });
    assert.deepEqual(readFileSync((await job(site.url)).realPath), IMAGE);
  });

  test('what is packed for the way is never continued', async (t) => {
    const { job } = jobIn(t);
    const packed = gzipSync(IMAGE);
    const site = await serve(t, (_, response, count) => {
      const headers = { etag: '"g"', 'content-encoding': 'gzip' };
      response.writeHead(200, { ...headers, 'content-length': packed.length });
      if (count > 1) response.end(packed);
      else
        response.write(packed.subarray(0, MEBIBYTE), () =>
          setTimeout(() => response.destroy(), 50),
        );
    });
    assert.deepEqual(readFileSync((await job(site.url)).realPath), IMAGE);
    assert.equal(site.requests.at(-1)?.headers.range, undefined);
  });

  test('pieces of two versions under one name are found out, and it begins again', async (t) => {
    const { job } = jobIn(t);
    const old = randomBytes(IMAGE.length);
    const site = await serve(t, (request, response, count) => {
      const from = startOf(request, '"same"');
      const bytes = count === 1 ? old : IMAGE;
      const headers = { etag: '"same"', 'content-length': bytes.length - from };
      const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
      response.writeHead(
        from > 0 ? 206 : 200,
        from > 0 ? { ...headers, 'content-range': range } : headers,
      );
      if (count > 1) response.end(bytes.subarray(from));
      else
        response.write(old.subarray(0, MEBIBYTE), () => setTimeout(() => response.destroy(), 50));
    });
    assert.deepEqual(readFileSync((await job(site.url, DIGEST)).realPath), IMAGE);
    assert.equal(site.requests.length, 3);
  });

  test('a file that is larger than allowed is refused at once, and nothing of it is kept', async (t) => {
    const { job, partials } = jobIn(t);
    const site = await serve(t, (_, response) => {
      response.writeHead(200, { etag: '"1"', 'content-length': LIMITS.mediaBytesMax + 1 });
      response.write('begin');
    });
    await assert.rejects(job(site.url), { code: 'MEDIA_DOWNLOAD_FAILED', message: /larger than/ });
    assert.deepEqual(partials(), []);
  });

  test('reading a large part again takes no time from the server', async (t) => {
    const { job, home } = jobIn(t, { mediaIdleTimeoutMs: 100, diskReserveBytes: 1 });
    const size = 600 * MEBIBYTE;
    const site = await serve(t, (request, response) => {
      const from = startOf(request, '"g"');
      const range = `bytes ${from}-${size + 3}/${size + 4}`;
      response.writeHead(206, { etag: '"g"', 'content-range': range, 'content-length': 4 });
      response.end('tail');
    });
    const key = createHash('sha256').update(` ${site.url}`).digest('hex');
    const partial = join(home, 'cache/partial', key);
    writeFileSync(partial, '');
    truncateSync(partial, size);
    writeFileSync(`${partial}.json`, JSON.stringify({ etag: '"g"', lastModified: null }));
    assert.equal((await job(site.url)).sizeBytes, size + 4);
    assert.equal(site.requests.length, 1);
  });

  test('secrets of an address are in no message', async (t) => {
    const { job } = jobIn(t);
    const site = await serve(t, (_, response) => response.writeHead(404).end());
    await assert.rejects(job(`${site.url}?signature=secret`), (error) => {
      assert.match((error as Error).message, /\/image\?…/);
      return !(error as Error).message.includes('secret');
    });
    const trap = await serve(t, (_, response) => {
      response.writeHead(302, { location: 'http://user:secret@127.0.0.1/x' }).end();
    });
    await assert.rejects(job(trap.url), (error) => !(error as Error).message.includes('secret'));
  });
});

suite('many who want something', () => {
  test('two ways to write a checksum, and none at all, are two downloads that do not meet', async (t) => {
    const { host, cached } = hostWith(t);
    // Answered together: a content that is there already would not be asked for.
    const held: (() => void)[] = [];
    const site = await serve(t, (request, response) => {
      held.push(() => sendFile(request, response, IMAGE));
      if (held.length === 2) for (const answer of held) answer();
    });
    const wanted = [DIGEST, `sha256:${DIGEST.toUpperCase()}`, ` ${DIGEST} `, null];
    const found = await Promise.all(
      wanted.map((sum) => host.media.fetchMedium(site.url, sum, () => undefined)),
    );
    assert.equal(site.requests.length, 2);
    assert.deepEqual(cached(), [DIGEST]);
    for (const { realPath } of found) assert.equal(digestOf(readFileSync(realPath)), DIGEST);
  });

  test('one content from many addresses at once is one file', async (t) => {
    const { host, cached, home } = hostWith(t);
    const site = await serve(t, (request, response) => sendFile(request, response, IMAGE));
    const urls = Array.from({ length: 8 }, (_, index) => `${site.url}?copy=${index}`);
    const inodes = await Promise.all(
      urls.map(async (url) => {
        const { realPath } = await host.media.fetchMedium(url, null, () => undefined);
        return statSync(realPath).ino;
      }),
    );
    assert.equal(new Set(inodes).size, 1);
    assert.deepEqual(cached(), [DIGEST]);
    assert.deepEqual(readdirSync(join(home, 'cache/partial')), []);
  });

  test('who does not wait any more leaves the others their download', async (t) => {
    const { host } = hostWith(t);
    let finish: () => void = () => undefined;
    const site = await serve(t, (_, response) => {
      response.writeHead(200, { etag: '"1"', 'content-length': IMAGE.length });
      response.write(IMAGE.subarray(0, MEBIBYTE));
      finish = () => response.end(IMAGE.subarray(MEBIBYTE));
    });
    const leaves = new AbortController();
    const reason = new Error('no more');
    const first = host.media.fetchMedium(site.url, null, () => leaves.abort(reason), leaves.signal);
    const second = host.media.fetchMedium(site.url, null, () => undefined);
    await assert.rejects(first, (error) => error === reason);
    finish();
    assert.deepEqual(readFileSync((await second).realPath), IMAGE);
  });

  test('a download that nobody waits for is aborted, and continues when somebody asks again', async (t) => {
    const { host } = hostWith(t);
    let cut: Promise<void> | undefined;
    const site = await serve(t, (request, response, count) => {
      if (count > 1) return sendFile(request, response, IMAGE);
      cut = new Promise((resolve) => response.on('close', () => resolve()));
      response.writeHead(200, { etag: etagOf(IMAGE), 'content-length': IMAGE.length });
      response.write(IMAGE.subarray(0, MEBIBYTE));
    });
    const leaves = new AbortController();
    const fetched = host.media.fetchMedium(
      site.url,
      DIGEST,
      () => leaves.abort(new Error('leaves')),
      leaves.signal,
    );
    await assert.rejects(fetched, /leaves/);
    const again = host.media.fetchMedium(site.url, DIGEST, () => undefined);
    await cut;
    assert.deepEqual(readFileSync((await again).realPath), IMAGE);
    assert.equal(site.requests.length, 2);
  });

  test('downloads that hang keep nobody from what is here', async (t) => {
    const { host, home } = hostWith(t, { VOLANT_MEDIA_DIRS: '/tmp' });
    const site = await serve(t, (request, response) => {
      if (request.url?.includes('hang'))
        response.writeHead(200, { 'content-length': 100 }).write('x');
      else sendFile(request, response, IMAGE);
    });
    await host.media.fetchMedium(site.url, DIGEST, () => undefined);
    const leave = new AbortController();
    setMaxListeners(0, leave.signal);
    const hanging = Array.from({ length: LIMITS.mediaJobsMax + 4 }, (_, index) =>
      host.media
        .fetchMedium(`${site.url}?hang=${index}`, null, () => undefined, leave.signal)
        .catch(() => undefined),
    );
    await host.media.fetchMedium(site.url, DIGEST, () => undefined);
    const local = join(home, 'local');
    writeFileSync(local, IMAGE);
    await host.media.inspectMedia(local, DIGEST);
    await assert.rejects(host.media.inspectMedia(local, 'a'.repeat(64)), {
      code: 'MEDIA_CHECKSUM_MISMATCH',
    });
    writeFileSync(local, 'other');
    await assert.rejects(host.media.inspectMedia(local, DIGEST), {
      code: 'MEDIA_CHECKSUM_MISMATCH',
    });
    leave.abort(new Error('enough'));
    await Promise.all(hanging);
    // Those that were in line are not begun any more.
    await host.media.fetchMedium(`${site.url}?another`, null, () => undefined);
    const begun = site.requests.filter(({ url }) => url?.includes('hang'));
    assert.equal(begun.length, LIMITS.mediaJobsMax);
  });
});
