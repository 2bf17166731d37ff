// http, guests: the proxy to agents: a request reaches the workload unchanged, its answer is returned unchanged, neither is
// buffered as a whole, and no API key reaches a guest.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { serve, until } from '../served.ts';

const PATH = '/api/v1/vms/one/agent';
const MIB = 1024 * 1024;

const hashOf = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

async function hashOfStream(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest('hex');
}

/** Tells what arrived. */
function echoHead(incoming: IncomingMessage, answer: ServerResponse): void {
  const { method, url, headers } = incoming;
  answer.setHeader('Content-Type', 'application/json');
  answer.end(JSON.stringify({ method, url, headers }));
}

interface Raw {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** Without what fetch adds or hides. */
function rawRequest(
  port: number,
  method: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ port, method, path, headers, agent: false }, async (answer) => {
      const chunks: Buffer[] = [];
      for await (const chunk of answer) chunks.push(chunk);
      resolve({
        status: answer.statusCode ?? 0,
        headers: answer.headers,
        body: Buffer.concat(chunks),
      });
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

test('method, path and query arrive as they were sent; hop-by-hop headers and keys do not', async (t) => {
  const { port } = await serve(t, { agent: echoHead, settings: { VOLANT_API_KEY: 'secret' } });
  const { body } = await rawRequest(
    port,
    'PATCH',
    `${PATH}/v1/a%20b/...%2fc?x=1&api_key=secret&y=%26`,
    {
      'X-Volant-API-Key': 'secret',
      Authorization: 'Bearer of-the-workload',
      'Accept-Encoding': 'gzip',
      Connection: 'close, X-Mine',
      'X-Mine': 'of this hop',
      TE: 'trailers',
      'X-Kept': 'yes',
    },
  );
  const seen = JSON.parse(body.toString());
  assert.equal(seen.method, 'PATCH');
  assert.equal(seen.url, '/v1/a%20b/...%2fc?x=1&y=%26');
  assert.equal(seen.headers['x-kept'], 'yes');
  assert.equal(seen.headers.authorization, 'Bearer of-the-workload');
  for (const name of ['x-volant-api-key', 'accept-encoding', 'x-mine', 'te']) {
    assert.equal(seen.headers[name], undefined, name);
  }
});

test('an Authorization header that is our key stays here', async (t) => {
  const { port } = await serve(t, { agent: echoHead, settings: { VOLANT_API_KEY: 'secret' } });
  const { body } = await rawRequest(port, 'GET', `${PATH}/v1/`, { Authorization: 'Bearer secret' });
  assert.equal(JSON.parse(body.toString()).headers.authorization, undefined);
});

test('status and headers return, but nothing that a guest says for the whole origin', async (t) => {
  const { port } = await serve(t, {
    settings: { VOLANT_CORS_ORIGINS: 'http://app.example' },
    agent: (_, answer) => {
      answer.writeHead(418, 'Short and stout', {
        'X-Repeated': ['a=1', 'b=2'],
        'X-Own': 'k\u00e4se',
        'Set-Cookie': ['session=guest', 'b=2'],
        'Strict-Transport-Security': 'max-age=31536000',
        'Clear-Site-Data': '"*"',
        'Service-Worker-Allowed': '/',
        'X-Content-Type-Options': 'none',
        'Content-Security-Policy': "default-src 'self'",
        NEL: '{}',
        'Access-Control-Allow-Origin': '*',
        Connection: 'close',
      });
      answer.end('tea');
    },
  });
  const answer = await rawRequest(port, 'GET', `${PATH}/v1/tea`, { Origin: 'http://app.example' });
  assert.equal(answer.status, 418);
  assert.equal(answer.headers['x-repeated'], 'a=1, b=2');
  for (const name of ['set-cookie', 'strict-transport-security', 'clear-site-data', 'nel']) {
    assert.equal(answer.headers[name], undefined, name);
  }
  assert.equal(answer.headers['service-worker-allowed'], undefined);
  assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  assert.equal(answer.headers['x-own'], 'k\u00e4se');
  assert.equal(answer.headers['access-control-allow-origin'], 'http://app.example');
  assert.match(String(answer.headers['content-security-policy']), /^sandbox/);
  assert.equal(answer.body.toString(), 'tea');
});

test('bodies of known and of unknown length pass both ways, byte for byte', async (t) => {
  const { url } = await serve(t, {
    agent: (incoming, answer) => {
      const length = incoming.headers['content-length'];
      if (length !== undefined) answer.setHeader('Content-Length', length);
      incoming.pipe(answer);
    },
  });
  const data = randomBytes(24 * MIB);
  const sized = await fetch(`${url}${PATH}/v1/echo`, { method: 'PUT', body: data });
  assert.equal(sized.headers.get('content-length'), String(data.length));
  assert.equal(hashOf(new Uint8Array(await sized.arrayBuffer())), hashOf(data));
  const chunks = Readable.from(
    Array.from({ length: 240 }, (_, index) =>
      data.subarray(index * 100_000, (index + 1) * 100_000),
    ),
  );
  const chunked = await fetch(`${url}${PATH}/v1/echo`, {
    method: 'POST',
    body: Readable.toWeb(chunks) as ReadableStream,
    duplex: 'half',
  } as RequestInit);
  assert.equal(chunked.headers.get('content-length'), null);
  assert.equal(
    hashOf(new Uint8Array(await chunked.arrayBuffer())),
    hashOf(data.subarray(0, 24_000_000)),
  );
});

for (const kind of ['sized', 'chunked'] as const) {
  test(`a client that reads slowly holds back a guest whose answer is ${kind}`, async (t) => {
    const bytes = 64 * MIB;
    const block = randomBytes(MIB);
    const expected = createHash('sha256');
    for (let sent = 0; sent < bytes; sent += MIB) expected.update(block);
    let written = 0;
    const { port } = await serve(t, {
      agent: (_, answer) => {
        if (kind === 'sized') answer.setHeader('Content-Length', bytes);
        Readable.from(
          (function* blocks() {
            for (; written < bytes; written += MIB) yield block;
          })(),
        ).pipe(answer);
      },
    });
    const answer = await new Promise<IncomingMessage>((resolve) => {
      request({ port, path: `${PATH}/v1/large`, agent: false }, resolve).end();
    });
    answer.pause();
    let before = -1;
    // It stands still when every buffer on the way is full.
    while (written !== before) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    assert.ok(written < bytes / 2, `${written / MIB} MiB were taken from the guest`);
    assert.equal(await hashOfStream(answer), expected.digest('hex'));
  });
}

test('a guest that reads slowly holds back its client', async (t) => {
  const sent = 64 * MIB;
  let reads: () => void = () => undefined;
  const mayRead = new Promise<void>((resolve) => {
    reads = resolve;
  });
  const { port } = await serve(t, {
    agent: async (incoming, answer) => {
      await mayRead;
      let bytes = 0;
      for await (const chunk of incoming) bytes += chunk.length;
      answer.end(String(bytes));
    },
  });
  const outgoing = request({
    port,
    method: 'POST',
    path: `${PATH}/v1/slow`,
    headers: { 'Content-Length': sent },
    agent: false,
  });
  const answered = new Promise<IncomingMessage>((resolve) => outgoing.once('response', resolve));
  let taken = 0;
  const upload = (async () => {
    for (; taken < sent; taken += MIB) {
      if (!outgoing.write(Buffer.alloc(MIB))) {
        await new Promise((resolve) => outgoing.once('drain', resolve));
      }
    }
    outgoing.end();
  })();
  let before = -1;
  while (taken !== before) {
    before = taken;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  assert.ok(taken < sent / 2, `${taken / MIB} MiB were taken from the client`);
  reads();
  await upload;
  let text = '';
  for await (const chunk of await answered) text += chunk;
  assert.equal(text, String(sent));
});

test('a client that sends a little now and then, or is held back for long, is not disconnected', async (t) => {
  const { port } = await serve(t, {
    agent: async (incoming, answer) => {
      if (incoming.url === '/v1/late') await new Promise((done) => setTimeout(done, 14_000));
      let bytes = 0;
      for await (const chunk of incoming) bytes += chunk.length;
      answer.end(String(bytes));
    },
  });
  const upload = async (path: string, chunks: readonly Buffer[], pauseMs: number) => {
    const outgoing = request({ port, method: 'POST', path: `${PATH}${path}`, agent: false });
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve).once('error', reject);
    });
    for (const chunk of chunks) {
      outgoing.write(chunk);
      await new Promise((done) => setTimeout(done, pauseMs));
    }
    outgoing.end();
    return Number(Buffer.concat(await (await answered).toArray()).toString());
  };
  const drops = Array.from({ length: 28 }, () => Buffer.from('drop'));
  const blocks = Array.from({ length: 16 }, () => Buffer.alloc(MIB));
  const [soon, late] = [upload('/v1/soon', drops, 500), upload('/v1/late', blocks, 0)];
  assert.deepEqual([await soon, await late], [28 * 4, 16 * MIB]);
});

test('HEAD, 204 and empty answers have no body, and the connection continues', async (t) => {
  const { port } = await serve(t, {
    agent: (incoming, answer) => {
      if (incoming.url === '/v1/none') answer.writeHead(204).end();
      else if (incoming.url === '/v1/empty') answer.writeHead(200, { 'Content-Length': 0 }).end();
      else answer.writeHead(200, { 'Content-Length': 5 }).end('hello');
    },
  });
  const head = await rawRequest(port, 'HEAD', `${PATH}/v1/page`);
  assert.equal(head.headers['content-length'], '5');
  assert.equal(head.body.length, 0);
  assert.equal((await rawRequest(port, 'DELETE', `${PATH}/v1/none`)).status, 204);
  assert.equal((await rawRequest(port, 'GET', `${PATH}/v1/empty`)).body.length, 0);
  // One after the other on one connection.
  const socket = connect(port, '127.0.0.1');
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk;
  });
  for (const path of ['/v1/page', '/v1/none', '/v1/empty', '/v1/page']) {
    const before = received.length;
    socket.write(`GET ${PATH}${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await until(() => received.length > before && /\r\n\r\n(hello)?$/.test(received));
  }
  socket.destroy();
  assert.equal(received.match(/hello/g)?.length, 2);
});

test('a stream of events flows while it is made, and ends with its reader', async (t) => {
  let emit: (text: string) => void = () => undefined;
  let gone = false;
  const { url, agentStreams } = await serve(t, {
    agent: (_, answer) => {
      answer.writeHead(200, { 'Content-Type': 'text/event-stream' });
      answer.write(': connected\n\n');
      emit = (text) => answer.write(text);
      answer.on('close', () => {
        gone = true;
      });
    },
  });
  const abort = new AbortController();
  const answer = await fetch(`${url}${PATH}/v1/logs/stream`, { signal: abort.signal });
  const reader = answer.body?.getReader();
  const read = async () => Buffer.from((await reader?.read())?.value ?? []).toString();
  assert.equal(await read(), ': connected\n\n');
  emit('data: 1\n\n');
  assert.equal(await read(), 'data: 1\n\n');
  emit('data: 2\n\n');
  assert.equal(await read(), 'data: 2\n\n');
  assert.equal(agentStreams.size, 1);
  abort.abort();
  await until(() => gone && agentStreams.size === 0);
});

test('a draining daemon ends streams of events and lets other answers come to their end', async (t) => {
  let finish: () => void = () => undefined;
  const { url, server } = await serve(t, {
    agent: (incoming, answer) => {
      if (incoming.url === '/v1/events') {
        answer.writeHead(200, { 'Content-Type': 'text/event-stream' });
        answer.write(': connected\n\n');
      } else {
        answer.write('begun ');
        finish = () => answer.end('done');
      }
    },
  });
  const events = await fetch(`${url}${PATH}/v1/events`);
  const work = await fetch(`${url}${PATH}/v1/work`);
  const drained = server.drain(60_000);
  assert.equal(await events.text(), ': connected\n\n');
  finish();
  assert.equal(await work.text(), 'begun done');
  await drained;
});

test('an answer that breaks off is a broken connection, never a shorter answer', async (t) => {
  const { url } = await serve(t, {
    agent: (incoming, answer) => {
      if (incoming.url === '/v1/sized') answer.setHeader('Content-Length', 100);
      answer.write('some');
      setTimeout(() => incoming.socket.destroy(), 20);
    },
  });
  for (const path of ['/v1/sized', '/v1/chunked']) {
    const answer = await fetch(`${url}${PATH}${path}`);
    await assert.rejects(answer.text(), path);
  }
});

test('what the proxy itself refuses is said in JSON', async (t) => {
  const { url, engine } = await serve(t, {
    agent: (incoming, answer) => {
      if (incoming.url === '/v1/dead') incoming.socket.destroy();
      else incoming.resume().on('end', () => answer.end('read'));
    },
    limits: { relayLimits: { silenceMs: 60_000, bodyBytesMax: MIB } },
  });
  const codeOf = async (method: string, path: string, init: RequestInit = {}) => {
    const answer = await fetch(url + path, { method, ...init });
    return `${answer.status} ${((await answer.json()) as { code: string }).code}`;
  };
  assert.equal(await codeOf('GET', '/api/v1/vms/none/agent/v1/'), '404 VM_NOT_FOUND');
  assert.equal(await codeOf('GET', `${PATH}/v1/dead`), '502 AGENT_UNREACHABLE');
  // These are the daemon's own: they would end the guest behind its back.
  assert.equal(await codeOf('POST', `${PATH}/agent/poweroff`), '404 ROUTE_NOT_FOUND');
  const large = { body: Readable.toWeb(Readable.from([Buffer.alloc(2 * MIB)])), duplex: 'half' };
  assert.equal(
    await codeOf('POST', `${PATH}/v1/take`, large as unknown as RequestInit),
    '413 BODY_TOO_LARGE',
  );
  await engine.vms.stop('one');
  assert.equal(await codeOf('GET', `${PATH}/v1/`), '409 VM_STATE_CONFLICT');
});

test('a guest that stays silent is given up', async (t) => {
  const { url, agentStreams } = await serve(t, {
    agent: (incoming, answer) => {
      if (incoming.url === '/v1/half') answer.write('half');
    },
    limits: { relayLimits: { silenceMs: 200, bodyBytesMax: MIB } },
  });
  const silent = await fetch(`${url}${PATH}/v1/silent`);
  assert.equal(silent.status, 502);
  const half = await fetch(`${url}${PATH}/v1/half`);
  await assert.rejects(half.text());
  await until(() => agentStreams.size === 0);
});

test('without a key nobody gets to a guest, and a key in the query is for streams of events', async (t) => {
  const { port } = await serve(t, { agent: echoHead, settings: { VOLANT_API_KEY: 'secret' } });
  assert.equal((await rawRequest(port, 'GET', `${PATH}/v1/`)).status, 401);
  assert.equal((await rawRequest(port, 'GET', `${PATH}/v1/?api_key=secret`)).status, 401);
  const events = await rawRequest(port, 'GET', `${PATH}/v1/?api_key=secret`, {
    Accept: 'text/event-stream',
  });
  assert.equal(events.status, 200);
  assert.equal(JSON.parse(events.body.toString()).url, '/v1/');
});
