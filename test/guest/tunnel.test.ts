// What a client of a host port relies on when its guest has no network card: a connection through the
// agent is like one of TCP.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { after, before, suite, type TestContext, test } from 'node:test';
import { createAgentConnection } from '../../src/hypervisor/agent-client.ts';
import { buildHostAgent, startHostAgent, temporaryDirectory } from './programs.ts';
import { NO_LOG, soon } from './served-agent.ts';

let program = '';
const undo: (() => void)[] = [];

async function startBoth(t: TestContext, serve: (socket: Socket) => void) {
  const agent = await startHostAgent(t, program);
  const connection = createAgentConnection(agent.socketPath, NO_LOG);
  t.after(() => connection.close());
  await connection.ready(soon());
  const server = createServer({ allowHalfOpen: true }, serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { connection, port: (server.address() as AddressInfo).port };
}

/** What comes until the other side ends. (Iterating over the stream would end both.) */
async function textOf(stream: Duplex): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk) => chunks.push(chunk));
  await once(stream, 'end');
  return Buffer.concat(chunks).toString();
}

suite('a connection to a port of the guest', () => {
  before(() => {
    program = buildHostAgent(
      temporaryDirectory({ after: (done) => undo.push(done as () => void) }),
    );
  });
  after(() => {
    for (const step of undo) step();
  });

  test('carries what the guest says first, and each side ends by itself', async (t) => {
    let received: Promise<string> | undefined;
    const { connection, port } = await startBoth(t, (socket) => {
      // Says its word, ends, and goes on listening.
      socket.end('220 ready\r\n');
      received = textOf(socket);
    });
    const inTime = new AbortController();
    const stream = await connection.connect(port, inTime.signal);
    inTime.abort();
    assert.equal(await textOf(stream), '220 ready\r\n');
    stream.write('after ');
    stream.end('its end');
    await once(stream, 'finish');
    assert.equal(await received, 'after its end');
  });

  test('answers after the client has ended', async (t) => {
    const { connection, port } = await startBoth(t, (socket) => {
      void textOf(socket).then((text) => socket.end(text.toUpperCase()));
    });
    const stream = await connection.connect(port, soon());
    stream.end('x'.repeat(500_000));
    assert.ok((await textOf(stream)) === 'X'.repeat(500_000));
  });

  test('is refused where nobody listens, and costs nothing', async (t) => {
    const { connection } = await startBoth(t, () => undefined);
    for (let tries = 0; tries < 100; tries += 1) {
      await assert.rejects(connection.connect(1, soon()), /502/);
    }
    assert.equal((await connection.health(soon())).state, 'none');
  });
});
