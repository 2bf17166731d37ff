// What clients in a guest's network rely on in the agent's HTTP server: its own answers, and requests
// handed to the workload and back as they are, whatever either side sends.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { shareHostAgent } from './programs.ts';
import {
  exchange,
  get,
  httpServer,
  listening,
  manifestFor,
  rawSocket,
  type ServedAgent,
  serveAgent,
} from './served-agent.ts';

const MIB = 1024 * 1024;
let program = '';
const hashOf = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

/** An agent whose workload is a raw server of the test: what it gets and gives is seen as bytes. */
async function withRawWorkload(
  t: TestContext,
  serve: (client: Socket, head: string) => void,
): Promise<ServedAgent> {
  const server = createTcpServer({ allowHalfOpen: true }, (client) => {
    client.on('error', () => undefined);
    client.once('data', (chunk) => serve(client, chunk.toString('latin1')));
    t.after(() => client.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const agent = await serveAgent(t, program);
  const { port } = server.address() as { port: number };
  const manifest = JSON.parse(manifestFor(null));
  manifest.workload.base_url = `http://127.0.0.1:${port}`;
  await agent.ask('PUT', '/agent/manifest', JSON.stringify(manifest));
  return agent;
}

suite('HTTP server of the agent', () => {
  shareHostAgent((path) => {
    program = path;
  });

  test('health has its shape, with a query and for HEAD, too', async (t) => {
    const { port } = await serveAgent(t, program);
    const { status, headers, body } = await get(port, '/healthz?full=1');
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'application/json');
    const health = JSON.parse(body.toString());
    assert.deepEqual(Object.keys(health), ['status', 'uptime', 'version', 'workload']);
    assert.equal(health.status, 'ok');
    assert.match(health.uptime, /^\d+\.\d{3}s$/);
    assert.deepEqual(health.workload, {
      state: 'none',
      pid: 0,
      restarts: 0,
      healthy: null,
      check: 'none',
      check_failure: '',
      last_exit: '',
      reason: '',
    });
    const head = await get(port, '/healthz', { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.ok(Number(head.headers['content-length']) > 50);
    assert.equal(head.body.length, 0);
    const log = await get(port, '/v1/logs/stream', { method: 'HEAD' });
    assert.deepEqual([log.status, log.headers['content-type']], [200, 'text/event-stream']);
  });

  test('what it does not have is 404, also after a long body; over TCP that is all of /agent', async (t) => {
    const { port, ask } = await serveAgent(t, program);
    const paths = ['/', '/v2', '/v10/x', '/healthz/', '/agent', '/agent/info', '/agent/manifest'];
    for (const path of paths) assert.equal((await get(port, path)).status, 404, path);
    const body = Array.from({ length: 64 }, () => randomBytes(65_536));
    for (const path of ['/agent/manifest', '/agent/poweroff', '/healthz']) {
      const answer = await get(port, path, { method: 'POST', body });
      assert.deepEqual(JSON.parse(answer.body.toString()), { error: 'there is no such route' });
    }
    assert.equal((await ask('GET', '/agent/info')).status, 200);
    assert.equal((await ask('GET', '/agent/other')).status, 404);
  });

  test('malformed requests are refused, and no head gets behind its end', async (t) => {
    const seen: string[] = [];
    const { port } = await withRawWorkload(t, (client, head) => {
      seen.push(head);
      client.end('HTTP/1.1 200 OK\r\n\r\n');
    });
    const first = async (text: string) => (await exchange(t, port, text)).split('\r\n')[0];
    assert.equal(await first('nonsense\r\n\r\n'), 'HTTP/1.1 400 Bad Request');
    assert.equal(await first('GET healthz HTTP/1.1\r\n\r\n'), 'HTTP/1.1 400 Bad Request');
    assert.equal(
      await first(`GET /v1/${'x'.repeat(5000)} HTTP/1.1\r\n\r\n`),
      'HTTP/1.1 400 Bad Request',
    );
    assert.equal(
      await first(`GET /v1 HTTP/1.1\r\nA: ${'x'.repeat(17_000)}`),
      'HTTP/1.1 431 Headers Too Large',
    );
    assert.equal(seen.length, 0);
    // What one program takes for one line is two for another (RFC 9112, 2.2).
    const ambiguous = [
      'X: a\r\r\n\r\n',
      '\r\r\n\r\n',
      'X: a\rb\r\n\r\n',
      'X: a\nX-Volant-Api-Key: b\r\n\r\n',
      '\n\n\r\n\r\n',
      'X: \0\r\n\r\n',
    ];
    for (const lines of ambiguous) {
      const line = await first(`GET /v1/ HTTP/1.1\r\n${lines}`);
      assert.equal(line, 'HTTP/1.1 400 Bad Request', JSON.stringify(lines));
    }
    for (const text of ['GET\r\n/v1/\r\nHTTP/1.1\r\n\r\n', 'GET/v1/ HTTP/1.1\r\n\r\n']) {
      assert.equal(await first(text), 'HTTP/1.1 400 Bad Request', JSON.stringify(text));
    }
    assert.equal(seen.length, 0);
    const hostile = [':\r\n\r\n', '\r\n'];
    for (const lines of hostile) {
      assert.equal(
        await first(`GET /v1/ HTTP/1.1\r\n${lines}`),
        'HTTP/1.1 200 OK',
        JSON.stringify(lines),
      );
    }
    // What the workload gets is what was sent, not a byte of the memory behind it.
    assert.equal(seen.length, hostile.length);
    for (const [index, head] of seen.entries())
      assert.ok(head.endsWith(hostile[index] ?? ' '), head);
  });

  test('a request reaches the workload with its path, query, headers and body', async (t) => {
    const seen: { method?: string | undefined; url?: string | undefined; hash: string }[] = [];
    const server = await listening(
      t,
      httpServer(async (incoming, answer) => {
        const hash = createHash('sha256');
        for await (const chunk of incoming) hash.update(chunk);
        seen.push({ method: incoming.method, url: incoming.url, hash: hash.digest('hex') });
        answer.setHeader('X-Seen', JSON.stringify(incoming.headers));
        answer.end('done');
      }),
    );
    const agent = await serveAgent(t, program);
    await agent.ask('PUT', '/agent/manifest', manifestFor(server));
    const body = Array.from({ length: 64 }, () => randomBytes(65_536));
    const headers = { 'X-Mine': 'kept', 'X-Volant-API-Key': 'secret', 'Keep-Alive': 'x' };
    const answer = await get(agent.port, '/v1/a%20b?x=1', { method: 'PATCH', headers, body });
    assert.equal(answer.body.toString(), 'done');
    assert.deepEqual(seen, [
      { method: 'PATCH', url: '/base/a%20b?x=1', hash: hashOf(Buffer.concat(body)) },
    ]);
    const got = JSON.parse(String(answer.headers['x-seen']));
    const { port } = server.address() as { port: number };
    assert.equal(got.host, `127.0.0.1:${port}`);
    assert.equal(got['x-mine'], 'kept');
    assert.deepEqual([got['x-volant-api-key'], got['keep-alive']], [undefined, undefined]);
    for (const [path, url] of [
      ['/v1', '/base/'],
      ['/v1/', '/base/'],
      ['/v1?q', '/base/?q'],
    ]) {
      await get(agent.port, path ?? '');
      assert.equal(seen.at(-1)?.url, url);
    }
  });

  test('bodies flow both ways at once, and a client that does not read holds the workload back', async (t) => {
    const server = await listening(
      t,
      httpServer((incoming, answer) => {
        incoming.pipe(answer);
      }),
    );
    const agent = await serveAgent(t, program);
    await agent.ask('PUT', '/agent/manifest', manifestFor(server));
    const body = Array.from({ length: 128 }, () => randomBytes(65_536));
    const answers = await Promise.all([
      get(agent.port, '/v1/', { method: 'POST', body }),
      get(agent.port, '/v1/', { method: 'POST', body }),
    ]);
    for (const { body: echoed } of answers) {
      assert.equal(hashOf(echoed), hashOf(Buffer.concat(body)));
    }
    let written = 0;
    const endless = await withRawWorkload(t, (client) => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      const more = () => {
        while (client.write(Buffer.alloc(65_536))) written += 65_536;
      };
      client.on('drain', more);
      more();
    });
    const stuck = await rawSocket(t, endless.port);
    stuck.pause();
    stuck.write('GET /v1/ HTTP/1.1\r\n\r\n');
    // Full is when nothing more was taken for a while, however long it took until then.
    for (let before = -1; before !== written; ) {
      before = written;
      await pause(300);
    }
    assert.ok(written > 0 && written < 64 * MIB, `${written} bytes`);
    assert.equal((await get(endless.port, '/healthz')).status, 200, 'others are served');
  });

  test('lines of the answer’s head end as HTTP wants it; its body is left alone', async (t) => {
    const answers: Record<string, string> = {
      lf: 'HTTP/1.1 200 OK\nContent-Type: text/plain\nX-A: 1\n\none\n\ntwo\r\n',
      mixed: 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\nX-A: 1\r\n\none\n\ntwo\r\n',
      crlf: 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: 1\r\n\r\none\n\ntwo\r\n',
    };
    const { port } = await withRawWorkload(t, async (client, head) => {
      const [, path = '', size = '1'] = /^GET \/(\w+)\?(\d+)/.exec(head) ?? [];
      const text = answers[path] ?? '';
      for (let at = 0; at < text.length; at += Number(size)) {
        client.write(text.slice(at, at + Number(size)));
        await pause(1);
      }
      client.end();
    });
    const expected = answers['crlf'];
    for (const path of ['lf', 'mixed', 'crlf']) {
      for (const size of [1, 7, 1000]) {
        const text = await exchange(t, port, `GET /v1/${path}?${size} HTTP/1.1\r\n\r\n`);
        assert.equal(text, expected, `${path} in pieces of ${size}`);
      }
    }
  });

  test('a workload that is not there, goes without an answer or answers early', async (t) => {
    const absent = await serveAgent(t, program);
    const none = await get(absent.port, '/v1/');
    assert.deepEqual(
      [none.status, none.body.toString()],
      [502, '{"error":"there is no workload with a base_url"}'],
    );
    await absent.ask('PUT', '/agent/manifest', manifestFor(null));
    const refused = await get(absent.port, '/v1/', { method: 'POST', body: [randomBytes(MIB)] });
    assert.equal(refused.status, 502);
    assert.match(refused.body.toString(), /does not accept connections/);

    const { port } = await withRawWorkload(t, (client, head) => {
      if (head.includes('/early')) client.end('HTTP/1.1 413 Too Large\r\n\r\ntoo large');
      if (head.includes('/early')) client.once('finish', () => client.resetAndDestroy());
      else if (head.includes('/reset')) client.resetAndDestroy();
      else client.end();
    });
    for (const path of ['/v1/', '/v1/reset']) {
      const silent = await get(port, path);
      assert.equal(silent.status, 502, path);
      assert.match(silent.body.toString(), /the workload did not answer/);
    }
    const body = Array.from({ length: 32 }, () => randomBytes(65_536));
    const early = await get(port, '/v1/early', { method: 'POST', body });
    assert.deepEqual([early.status, early.body.toString()], [413, 'too large']);
  });

  test('after an upgrade bytes go both ways until one side leaves', async (t) => {
    const { port } = await withRawWorkload(t, (client, head) => {
      assert.match(head, /^GET \/echo HTTP\/1\.1\r\n[\s\S]*Connection: Upgrade\r\n/);
      client.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n');
      client.on('data', (chunk) => client.write(chunk));
      client.on('end', () => client.end('bye'));
    });
    const socket = await rawSocket(t, port);
    let received = '';
    socket.on('data', (chunk) => {
      received += chunk;
    });
    socket.write('GET /v1/echo HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    while (!received.includes('\r\n\r\n')) await once(socket, 'data');
    socket.write('a\nb');
    while (!received.endsWith('a\nb')) await once(socket, 'data');
    socket.end();
    await once(socket, 'close');
    assert.match(received, /a\nbbye$/);
  });

  test('only what belongs to the request reaches the workload', async (t) => {
    const seen: string[] = [];
    const { port } = await withRawWorkload(t, (client, head) => {
      const index = seen.push(head) - 1;
      client.on('data', (chunk) => {
        seen[index] += chunk.toString('latin1');
      });
      // As a server that keeps its connection and knows no other protocol.
      client.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi');
      setTimeout(() => client.end(), 150);
    });
    const behind = 'GET /v1/secret HTTP/1.1\r\nHost: a\r\n\r\n';
    const ask = (...lines: string[]) => `${lines.join('\r\n')}\r\n\r\n`;
    const requests = {
      'no body': ask('GET /v1/ HTTP/1.1'),
      'a body': `${ask('POST /v1/ HTTP/1.1', 'Content-Length: 5')}hello`,
      'HTTP/2 in plain text': ask(
        'GET /v1/ HTTP/1.1',
        'Connection: Upgrade, HTTP2-Settings',
        'Upgrade: h2c',
        'HTTP2-Settings: AAMAAABkAAQAoAAA',
      ),
      'another protocol and a body': `${ask('POST /v1/ HTTP/1.1', 'Connection: Upgrade', 'Upgrade: x', 'Content-Length: 5')}hello`,
    };
    for (const [what, request] of Object.entries(requests)) {
      assert.match(await exchange(t, port, request + behind), /hi$/, what);
      const text = seen.pop() ?? '';
      assert.doesNotMatch(text, /secret|h2c|http2|upgrade/i, what);
      assert.match(text, /\r\nConnection: close\r\n/, what);
      if (request.endsWith('hello')) assert.ok(text.endsWith('\r\n\r\nhello'), what);
    }
    // The same when it comes later, behind a wish that the workload does not heed.
    const socket = await rawSocket(t, port);
    socket.write(ask('GET /v1/ HTTP/1.1', 'Connection: Upgrade', 'Upgrade: websocket'));
    await once(socket, 'data');
    socket.write(behind);
    await once(socket, 'close');
    assert.doesNotMatch(seen.pop() ?? '', /secret/);
    const unclear = [
      ask('GET /v1/ HTTP/1.1', 'Connection: Upgrade', 'Upgrade: websocket') + behind,
      ask('POST /v1/ HTTP/1.1', 'Content-Length: 5', 'Transfer-Encoding: chunked'),
      ask('POST /v1/ HTTP/1.1', 'Content-Length: 5', 'Content-Length: 6'),
      ask('POST /v1/ HTTP/1.1', 'Content-Length: -5'),
      ask('POST /v1/ HTTP/1.1', 'Content-Length: 5, 5'),
      ask('POST /v1/ HTTP/1.1', 'Transfer-Encoding : chunked'),
      ask('GET /v1/ HTTP/1.1', 'X-A: b', ' Content-Length: 5'),
    ];
    for (const request of unclear) {
      assert.match(await exchange(t, port, request), /^HTTP\/1\.1 400 /, request);
    }
    assert.equal(seen.length, 0);
  });

  test('a client of HTTP/1.0 gets no chunks', async (t) => {
    const server = await listening(
      t,
      httpServer((_, answer) => {
        answer.write('one ');
        answer.end('two');
      }),
    );
    const agent = await serveAgent(t, program);
    await agent.ask('PUT', '/agent/manifest', manifestFor(server));
    const old = await exchange(t, agent.port, 'GET /v1/ HTTP/1.0\r\n\r\n');
    assert.match(old, /\r\n\r\none two$/);
    assert.doesNotMatch(old, /chunked/i);
    assert.match(await exchange(t, agent.port, 'GET /v1/ HTTP/1.1\r\n\r\n'), /chunked/i);
  });

  test('more clients than it has slots for are refused, and slots become free again', async (t) => {
    const { port } = await serveAgent(t, program);
    let left = 140;
    const idle = await Promise.all(
      Array.from({ length: left }, async () => {
        const socket = await rawSocket(t, port);
        socket.resume().once('close', () => {
          left -= 1;
        });
        // Of many at once the kernel may forget some that think they are connected: who speaks is told.
        socket.write('GET /healthz HTTP/1.1\r\n');
        return socket;
      }),
    );
    while (left > 112) await pause(10);
    assert.ok(left >= 105, `${left} were kept`);
    for (const socket of idle) socket.destroy();
    const signal = AbortSignal.timeout(10_000);
    const works = () =>
      get(port, '/healthz').then(
        ({ status }) => status === 200,
        () => false,
      );
    while (!(await works())) signal.throwIfAborted();
  });
});
