// What users of images rely on when a server's file changes, ends early or is described wrongly: what gets a
// name in the cache is one whole version of what the server has, else there is an error.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { suite, type TestContext, test } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync, constants as zlib } from 'node:zlib';
import { LIMITS } from '../../../../src/config/limits.ts';
import { digestOf, jobIn, serve } from './image-site.ts';

const OLD = randomBytes(2 * 1024 * 1024);
const NEW = randomBytes(2 * 1024 * 1024);
const CUT_AT = 1024 * 1024;
const LONG_AGO = 'Mon, 01 Jan 2024 00:00:00 GMT';

/** Quickly. */
const brotli = (bytes: Uint8Array) =>
  brotliCompressSync(bytes, { params: { [zlib.BROTLI_PARAM_QUALITY]: 1 } });

/** The first bytes of a file, then the end of the line. */
function cutOff(response: ServerResponse, headers: OutgoingHttpHeaders, bytes: Buffer = OLD) {
  response.writeHead(200, { 'content-length': bytes.length, ...headers });
  response.write(bytes.subarray(0, CUT_AT), () => setTimeout(() => response.destroy(), 50));
}

/** What a server sends that heeds `Range` and nothing else. */
function sendRest(
  request: IncomingMessage,
  response: ServerResponse,
  headers: OutgoingHttpHeaders,
  bytes: Buffer = NEW,
) {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const range = { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
  const length = { 'content-length': bytes.length - from };
  response.writeHead(from > 0 ? 206 : 200, { ...length, ...(from > 0 ? range : {}), ...headers });
  response.end(bytes.subarray(from));
}

/** A server that says these bytes, whatever it is asked, and ends the connection. */
async function say(t: TestContext, ...pieces: (string | Uint8Array)[]) {
  let count = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined).on('close', () => sockets.delete(socket)));
    socket.once('data', () => {
      count += 1;
      socket.end(Buffer.concat(pieces.map((piece) => Buffer.from(piece))));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/image`;
  return { url, count: () => count };
}

suite('a file that changes while it comes', () => {
  const changes: Record<string, [OutgoingHttpHeaders, OutgoingHttpHeaders, Buffer?]> = {
    'another ETag': [{ etag: '"old"' }, { etag: '"new"' }],
    'an ETag that is weak': [{ etag: '"old"' }, { etag: 'W/"old"' }],
    'no ETag any more': [{ etag: '"old"' }, {}],
    'another time of change': [
      { 'last-modified': LONG_AGO },
      { 'last-modified': 'Tue, 02 Jan 2024 00:00:00 GMT' },
    ],
    'no time of change any more': [{ 'last-modified': LONG_AGO }, {}],
    'another time beside the same ETag': [
      { etag: '"1"', 'last-modified': LONG_AGO },
      { etag: '"1"', 'last-modified': 'Tue, 02 Jan 2024 00:00:00 GMT' },
    ],
    'another length under the same ETag': [
      { etag: '"1"' },
      { etag: '"1"' },
      Buffer.concat([NEW, Buffer.from('longer')]),
    ],
  };
  for (const [what, [before, after, bytes = NEW]] of Object.entries(changes)) {
    test(`${what}: the pieces are not put together`, async (t) => {
      const { job } = jobIn(t);
      const site = await serve(t, (request, response, count) => {
        if (count === 1) cutOff(response, before);
        else sendRest(request, response, after, bytes);
      });
      const { realPath } = await job(site.url);
      assert.deepEqual(readFileSync(realPath), bytes);
      const { headers } = site.requests[1] as IncomingMessage;
      assert.match(headers.range ?? '', /^bytes=\d+-$/);
      assert.equal(headers['if-range'], before['etag'] ?? before['last-modified']);
      assert.equal(site.requests.at(-1)?.headers.range, undefined, 'at last it was asked anew');
    });
  }

  test('a version that cannot be distinguished from the next one is asked for as a whole', async (t) => {
    const now = new Date().toUTCString();
    for (const headers of [{}, { etag: 'W/"1"' }, { 'last-modified': now, date: now }]) {
      const { job } = jobIn(t);
      const site = await serve(t, (request, response, count) => {
        if (count === 1) cutOff(response, headers);
        else sendRest(request, response, headers);
      });
      assert.deepEqual(readFileSync((await job(site.url)).realPath), NEW);
      assert.equal(site.requests[1]?.headers.range, undefined, JSON.stringify(headers));
    }
  });

  test('the same version continues where it was interrupted, with the time left out beside its ETag', async (t) => {
    const { job } = jobIn(t);
    const site = await serve(t, (request, response, count) => {
      if (count === 1) cutOff(response, { etag: '"1"', 'last-modified': LONG_AGO });
      else sendRest(request, response, { etag: '"1"', 'content-encoding': 'identity' }, OLD);
    });
    assert.deepEqual(readFileSync((await job(site.url)).realPath), OLD);
    assert.equal(site.requests.length, 2);
  });

  test('a server that knows no ranges sends all of it again', async (t) => {
    const { job } = jobIn(t);
    const site = await serve(t, (_, response, count) => {
      if (count === 1) cutOff(response, { etag: '"1"' });
      else response.writeHead(200, { etag: '"1"', 'content-length': NEW.length }).end(NEW);
    });
    assert.deepEqual(readFileSync((await job(site.url)).realPath), NEW);
    assert.equal(site.requests.length, 2);
  });
});

suite('parts that are not what they are said to be', () => {
  const length = OLD.length;
  const ranges: Record<string, [string, Buffer]> = {
    'another beginning': [`bytes 0-${length - 1}/${length}`, OLD],
    'an end behind the file': [`bytes ${CUT_AT}-${length}/${length}`, OLD.subarray(CUT_AT)],
    'an end before the beginning': [`bytes ${CUT_AT}-5/${length}`, OLD.subarray(CUT_AT)],
    'a file of unknown length': [`bytes ${CUT_AT}-${length - 1}/*`, OLD.subarray(CUT_AT)],
    'more than the range says': [`bytes ${CUT_AT}-${CUT_AT + 9}/${length}`, OLD.subarray(CUT_AT)],
    'less than the range says': [`bytes ${CUT_AT}-${length - 1}/${length}`, OLD.subarray(-10)],
  };
  for (const [what, [range, bytes]] of Object.entries(ranges)) {
    for (const isChunked of [false, true]) {
      test(`${what}${isChunked ? ', in chunks' : ''}: nothing of it is believed`, async (t) => {
        const { job } = jobIn(t);
        const site = await serve(t, (request, response) => {
          const etag = '"1"';
          if (request.headers.range === undefined) return cutOff(response, { etag });
          const ends = isChunked ? {} : { 'content-length': bytes.length };
          response.writeHead(206, { etag, 'content-range': range, ...ends }).end(bytes);
        });
        const error = await job(site.url).catch((thrown) => thrown);
        // Where a shorter rest comes in chunks, the rest of that rest is asked for: it may never be wrong.
        assert.equal(error.code, 'MEDIA_DOWNLOAD_FAILED', JSON.stringify(error));
      });
    }
  }
});

suite('files whose end is missing', () => {
  test('an empty answer is no image', async (t) => {
    for (const headers of [{ 'content-length': 0 }, { 'transfer-encoding': 'chunked' }]) {
      const { job, partials } = jobIn(t);
      const site = await serve(t, (_, response) => response.writeHead(200, headers).end());
      await assert.rejects(job(site.url), { code: 'MEDIA_DOWNLOAD_FAILED', message: /empty file/ });
      assert.equal(site.requests.length, 1);
      assert.equal(partials().filter((name) => !name.endsWith('.json')).length, 1);
    }
    const { job } = jobIn(t);
    const packed = gzipSync('');
    const site = await serve(t, (_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length });
      response.end(packed);
    });
    await assert.rejects(job(site.url), { message: /empty file/ });
  });

  test('a file that ends with the connection is taken only with a checksum', async (t) => {
    for (const version of ['1.0', '1.1']) {
      const { job } = jobIn(t);
      const head = `HTTP/${version} 200 OK\r\nServer: old\r\nConnection: close\r\n\r\n`;
      const cut = await say(t, head, OLD.subarray(0, CUT_AT));
      await assert.rejects(job(cut.url), {
        code: 'MEDIA_DOWNLOAD_FAILED',
        message: /give its checksum/,
      });
      assert.equal(cut.count(), 1, 'it would be the same again');
      await assert.rejects(job(cut.url, digestOf(OLD)), { code: 'MEDIA_CHECKSUM_MISMATCH' });
      const whole = await say(t, head, OLD);
      assert.deepEqual(readFileSync((await job(whole.url, digestOf(OLD))).realPath), OLD);
    }
  });

  test('chunks without a last one, and fewer bytes than announced, are a connection that broke', async (t) => {
    const { job } = jobIn(t);
    const chunk = OLD.subarray(0, 1000);
    const cut = [
      await say(t, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n', chunk, '\r\n'),
      await say(t, 'HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n', chunk),
    ];
    for (const { url, count } of cut) {
      await assert.rejects(job(url), { code: 'MEDIA_DOWNLOAD_FAILED' });
      assert.equal(count(), LIMITS.mediaAttemptsMax);
    }
  });

  test('what follows a packed file is not passed over', async (t) => {
    const [gzip, br] = [gzipSync(OLD), brotli(OLD)];
    const tail = Buffer.alloc(200_000, 1);
    const cases: [string, Uint8Array[]][] = [
      ['gzip', [gzip, tail]],
      ['gzip', [Buffer.concat([gzip, Buffer.from('x')])]],
      ['br', [br, tail]],
      ['br', [Buffer.from([0x06]), OLD]],
      ['gzip, br', [brotli(Buffer.concat([gzip, tail]))]],
    ];
    for (const [coding, pieces] of cases) {
      const { job, cached } = jobIn(t);
      const site = await serve(t, async (_, response) => {
        response.writeHead(200, { 'content-encoding': coding });
        for (const piece of pieces) {
          await new Promise((resolve) => response.write(piece, () => setTimeout(resolve, 20)));
        }
        response.end();
      });
      await assert.rejects(job(site.url), { message: /compressed/ });
      assert.equal(site.requests.length, 1);
      assert.deepEqual(cached(), []);
    }
  });

  test('a file that is packed in several parts, or several times, comes as a whole', async (t) => {
    const cases: [string, Uint8Array][] = [
      ['gzip', Buffer.concat([gzipSync(OLD.subarray(0, 1000)), gzipSync(OLD.subarray(1000))])],
      ['deflate', deflateSync(OLD)],
      ['br', brotli(OLD)],
      ['gzip, identity, br', brotli(gzipSync(OLD))],
    ];
    for (const [coding, packed] of cases) {
      const { job } = jobIn(t);
      const site = await serve(t, (_, response) => {
        response.writeHead(200, { 'content-encoding': coding }).end(packed);
      });
      assert.deepEqual(readFileSync((await job(site.url)).realPath), OLD, coding);
    }
  });

  test('what is packed for the way and ends early is no image', async (t) => {
    const { job } = jobIn(t);
    const packed = gzipSync(OLD);
    const site = await serve(t, (_, response) => {
      const half = packed.subarray(0, CUT_AT);
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': half.length });
      response.end(half);
    });
    await assert.rejects(job(site.url), { code: 'MEDIA_DOWNLOAD_FAILED' });
  });
});
