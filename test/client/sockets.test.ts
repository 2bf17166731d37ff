// client: logs and consoles over a real WebSocket.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { createClient } from '../../src/client/client.ts';
import { ConnectionError } from '../../src/client/errors.ts';
import { startFakeDaemon } from './fake-daemon.ts';

async function startSockets(
  t: TestContext,
  serve: (socket: WebSocket, request: IncomingMessage) => void,
  socketPath?: string,
) {
  const daemon = await startFakeDaemon(t, (_, response) => response.end(), socketPath);
  const sockets = new WebSocketServer({ server: daemon.server });
  sockets.on('connection', serve);
  t.after(() => sockets.clients.forEach((client) => void client.terminate()));
  return createClient({ baseUrl: daemon.url, apiKey: 'secret', WebSocket });
}

const line = (text: string) =>
  JSON.stringify({ name: 'one', stream: 'stdout', line: text, timestamp: '2026-01-01T00:00:00Z' });

test('log lines come in order until the daemon ends the stream', async (t) => {
  let asked: IncomingMessage | undefined;
  const client = await startSockets(t, (socket, request) => {
    asked = request;
    for (const text of ['a', 'b', 'c']) socket.send(line(text));
    socket.close(1000);
  });
  const lines = [];
  for await (const entry of client.sockets.logs('one')) lines.push(entry.line);
  assert.deepEqual(lines, ['a', 'b', 'c']);
  assert.equal(asked?.url, '/ws/v1/vms/one/logs');
  assert.equal(asked?.headers.authorization, 'Bearer secret');
});

test('a stream that is closed for a reason rejects with it', async (t) => {
  const client = await startSockets(t, (socket) => socket.close(1013, 'agent unreachable'));
  await assert.rejects(client.sockets.logs('one').next(), /agent unreachable/);
});

test('an abort ends the lines without an error', async (t) => {
  const client = await startSockets(t, (socket) => socket.send(line('a')));
  const controller = new AbortController();
  const options = { signal: controller.signal };
  for await (const _ of client.sockets.logs('one', options)) controller.abort();
});

test('a console takes what is typed and gives what the guest prints, over a unix socket too', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'volant-client-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  for (const socketPath of [undefined, join(home, 'api.sock')]) {
    const client = await startSockets(
      t,
      (socket) =>
        socket.on('message', (data) => {
          socket.send(Buffer.from(`echo ${data}`));
          socket.close(1000, 'stopped');
        }),
      socketPath,
    );
    let output = '';
    const console = await client.sockets.console('one', {
      onOutput: (bytes) => {
        output += new TextDecoder().decode(bytes);
      },
    });
    console.write('ls\r');
    assert.equal(await console.closed, 'stopped');
    assert.equal(output, 'echo ls\r');
  }
});

test('a console that cannot be had rejects', async () => {
  const client = createClient({ baseUrl: 'http://127.0.0.1:2', WebSocket });
  const open = client.sockets.console('one', { onOutput: () => undefined });
  await assert.rejects(open, ConnectionError);
});
