// http, guests: WebSockets of workloads: they work through the daemon as if the client were connected directly, neither
// side is buffered without bound, and the end of each side ends the other.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import WebSocket, { WebSocketServer } from 'ws';
import { LIMITS } from '../../../src/config/limits.ts';
import { type ServeOptions, serve, until } from '../served.ts';

const PATH = '/api/v1/vms/one/agent/v1';

/** A VM whose workload is a WebSocket server of the test. */
async function serveSockets(
  t: TestContext,
  onSocket: (socket: WebSocket, request: IncomingMessage) => void,
  options: ServeOptions = {},
) {
  const workload = new WebSocketServer({ noServer: true });
  workload.on('connection', (socket, request) => {
    socket.on('error', () => undefined);
    onSocket(socket, request);
  });
  const served = await serve(t, {
    agent: (_, answer) => answer.writeHead(403).end('not you'),
    upgrade: (request: IncomingMessage, stream: Duplex, first: Buffer) => {
      if (request.url?.startsWith('/v1/refuse')) stream.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      else if (request.url?.startsWith('/v1/break')) stream.destroy();
      else if (request.url?.startsWith('/v1/silent')) stream.on('error', () => undefined);
      else
        workload.handleUpgrade(request, stream, first, (s) =>
          workload.emit('connection', s, request),
        );
    },
    ...options,
  });
  const connect = (path: string, protocols: string[] = [], headers = {}) => {
    const socket = new WebSocket(`ws://127.0.0.1:${served.port}${PATH}${path}`, protocols, {
      headers,
    });
    t.after(() => socket.terminate());
    const closed = new Promise<[number, string]>((resolve) =>
      socket.once('close', (code, reason) => resolve([code, String(reason)])),
    );
    return { socket, closed };
  };
  return { served, connect };
}

test('messages of both kinds and of any size pass both ways, in order', async (t) => {
  const { served, connect } = await serveSockets(t, (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data as Buffer, { binary: isBinary }));
  });
  const { socket, closed } = connect('/echo?x=1');
  await once(socket, 'open');
  const messages = [
    '',
    'k\u00e4se',
    Buffer.from([0, 255, 128]),
    'x'.repeat(300_000),
    Buffer.alloc(LIMITS.agentSocketMessageBytesMax - 10, 7),
  ];
  for (const message of messages) {
    socket.send(message);
    const [data, isBinary] = await once(socket, 'message');
    assert.equal(isBinary, Buffer.isBuffer(message));
    assert.ok(Buffer.from(message).equals(data));
  }
  socket.close(4321, 'enough');
  assert.deepEqual(await closed, [4321, 'enough']);
  await until(() => served.agentStreams.size === 0);
});

test('the workload sees path, query, headers and protocols, chooses one, and no key of ours', async (t) => {
  const seen: IncomingMessage[] = [];
  const { connect } = await serveSockets(t, (_, request) => seen.push(request), {
    settings: { VOLANT_API_KEY: 'secret' },
  });
  const { socket } = connect('/a%20b?x=1&api_key=secret', ['chat', 'other'], {
    'X-Mine': 'yes',
    'X-Request-Id': 'mine-1',
  });
  const [answer] = (await once(socket, 'upgrade')) as [IncomingMessage];
  assert.equal(answer.headers['x-request-id'], 'mine-1');
  await until(() => seen.length === 1);
  assert.equal(socket.protocol, 'chat');
  assert.equal(seen[0]?.url, '/v1/a%20b?x=1');
  assert.equal(seen[0]?.headers['x-mine'], 'yes');
  assert.equal(seen[0]?.headers['x-request-id'], 'mine-1');
  assert.doesNotMatch(JSON.stringify(seen[0]?.rawHeaders), /secret/);
  const without = connect('/');
  const [error] = await once(without.socket, 'error');
  assert.match(String(error), /401/);
});

test('each side’s end ends the other', async (t) => {
  const { served, connect } = await serveSockets(t, (socket, { url }) => {
    if (url === '/v1/close') socket.close(4000, 'no more');
    if (url === '/v1/plain') socket.close();
    if (url === '/v1/gone') socket.terminate();
    if (url === '/v1/wait') socket.on('close', (code) => codes.push(code));
  });
  const codes: number[] = [];
  assert.deepEqual(await connect('/close').closed, [4000, 'no more']);
  assert.equal((await connect('/plain').closed)[0], 1000);
  assert.equal((await connect('/gone').closed)[0], 1011);
  const leaving = connect('/wait');
  await once(leaving.socket, 'open');
  leaving.socket.terminate();
  await until(() => codes.length === 1);
  assert.deepEqual(codes, [1001]);
  await until(() => served.agentStreams.size === 0);
  const waiting = connect('/wait');
  await once(waiting.socket, 'open');
  await served.server.drain(10_000);
  assert.equal((await waiting.closed)[0], 1001);
});

test('a workload that takes no WebSocket is said to, and nothing stays open', async (t) => {
  const { served, connect } = await serveSockets(t, () => undefined, {
    limits: { guestSocketLimits: { handshakeMs: 200 } },
  });
  for (let round = 0; round < LIMITS.agentStreamsMax + 2; round += 1) {
    for (const path of ['/refuse', '/break', '/silent']) {
      const [error] = await once(connect(path).socket, 'error');
      assert.match(String(error), /502/, path);
    }
    const { socket } = connect('/silent');
    socket.on('error', () => undefined);
    await until(() => served.agentStreams.size > 0);
    socket.terminate();
    await until(() => served.agentStreams.size === 0);
  }
  const [error] = await once(connect('/../agent/poweroff').socket, 'error');
  assert.match(String(error), /404/);
});

test('a client that does not read holds the workload back; a workload that does not is said to', async (t) => {
  let sent = 0;
  const { connect } = await serveSockets(t, (socket, { url }) => {
    if (url === '/v1/deaf') return socket.pause();
    const more = () => {
      if (socket.readyState !== WebSocket.OPEN || sent > 400) return;
      sent += 1;
      socket.send(Buffer.alloc(256 * 1024, sent), more);
    };
    more();
  });
  const slow = connect('/flood');
  await once(slow.socket, 'open');
  slow.socket.pause();
  for (let before = -1; before !== sent; await pause(300)) before = sent;
  assert.ok(sent < 200, `${sent} messages were taken`);
  let received = 0;
  slow.socket.on('message', (data: Buffer) => {
    received += 1;
    assert.equal(data[0], received % 256);
  });
  slow.socket.resume();
  await until(() => received === 401);
  const deaf = connect('/deaf');
  await once(deaf.socket, 'open');
  for (let round = 0; round < 16; round += 1) deaf.socket.send(Buffer.alloc(1024 * 1024));
  assert.equal((await deaf.closed)[0], 1013);
});
