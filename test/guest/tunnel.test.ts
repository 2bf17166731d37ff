// What a client of a host port relies on when its guest has no network card: a connection through the
// agent is like one of TCP.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../src/config/limits.ts';
import { createAgentConnection } from '../../src/hypervisor/agent-client.ts';
import { shareHostAgent, startHostAgent } from './programs.ts';
import { NO_LOG, soon } from './served-agent.ts';

let program = '';

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

shareHostAgent((path) => {
  program = path;
});

suite('a connection to a port of the guest', () => {
  test('carries what the guest says first, and each side ends by itself', async (t) => {
    let received: Promise<string> | undefined;
    const { connection, port } = await startBoth(t, (socket) => {
      // Says its word, ends, and continues listening.
      socket.end('220 ready\r\n');
      received = textOf(socket);
    });
    const inTime = new AbortController();
    const stream = await connection.connect({ protocol: 'tcp', port }, inTime.signal);
    inTime.abort();
    assert.equal(await textOf(stream), '220 ready\r\n');
    // More than the agent keeps, and all of it with the end.
    stream.write('after ');
    stream.end('its end'.padEnd(400_000, '.'));
    await once(stream, 'finish');
    assert.ok((await received) === 'after '.concat('its end'.padEnd(400_000, '.')));
  });

  test('answers after the client has ended', async (t) => {
    const { connection, port } = await startBoth(t, (socket) => {
      void textOf(socket).then((text) => socket.end(text.toUpperCase()));
    });
    const stream = await connection.connect({ protocol: 'tcp', port }, soon());
    stream.end('x'.repeat(500_000));
    assert.ok((await textOf(stream)) === 'X'.repeat(500_000));
  });

  test('has its place beside as many others as may be set', async (t) => {
    const { connection: first, port } = await startBoth(t, (socket) => void socket.pipe(socket));
    first.close();
    const agent = await startHostAgent(t, program);
    const most = LIMITS.agentTunnelsSettingMax;
    const connection = createAgentConnection(agent.socketPath, NO_LOG, most);
    t.after(() => connection.close());
    await connection.ready(soon());
    const connect = () => connection.connect({ protocol: 'tcp', port }, soon());
    const streams = await Promise.all(Array.from({ length: most }, connect));
    await assert.rejects(connect(), { code: 'OVERLOADED' });
    // The same agent still has requests of clients, and is asked for its health.
    const requests = Array.from({ length: LIMITS.agentStreamsMax }, () => connection.open());
    assert.equal((await connection.health(soon())).state, 'none');
    for (const stream of streams) stream.end('echo');
    assert.deepEqual(await Promise.all(streams.map(textOf)), Array(most).fill('echo'));
    for (const request of requests) request.destroy();
  });

  test('is refused where nobody listens, and costs nothing', async (t) => {
    const { connection } = await startBoth(t, () => undefined);
    for (let tries = 0; tries < 100; tries += 1) {
      await assert.rejects(connection.connect({ protocol: 'tcp', port: 1 }, soon()), /502/);
    }
    assert.equal((await connection.health(soon())).state, 'none');
  });
});

/** A UDP port where each datagram is answered by itself, and one of its own is asked for by `large`. */
async function startEcho(t: TestContext): Promise<number> {
  const socket = createSocket('udp4');
  socket.on('message', (datagram, { port, address }) => {
    const answer = datagram.toString() === 'large' ? Buffer.alloc(60_000, 'L') : datagram;
    socket.send(answer, port, address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return socket.address().port;
}

function framed(datagram: Buffer): Buffer {
  const prefix = Buffer.alloc(2);
  prefix.writeUInt16BE(datagram.length);
  return Buffer.concat([prefix, datagram]);
}

/** The next datagram on a stream. */
function reader(stream: Duplex): () => Promise<Buffer> {
  let rest = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
  });
  return async () => {
    for (;;) {
      const end = rest.length < 2 ? Number.POSITIVE_INFINITY : 2 + rest.readUInt16BE(0);
      if (rest.length >= end) {
        const datagram = rest.subarray(2, end);
        rest = rest.subarray(end);
        return datagram;
      }
      await once(stream, 'data');
    }
  };
}

suite('a flow of datagrams to a port of the guest', () => {
  async function openFlow(t: TestContext, port?: number) {
    const agent = await startHostAgent(t, program);
    const connection = createAgentConnection(agent.socketPath, NO_LOG);
    t.after(() => connection.close());
    await connection.ready(soon());
    const target = { protocol: 'udp', port: port ?? (await startEcho(t)) } as const;
    const flow = await connection.connect(target, soon());
    // At the end it is broken off.
    flow.on('error', () => undefined);
    return { flow, next: reader(flow), connection, target };
  }

  test('keeps each datagram as it is, from none to many bytes', async (t) => {
    const { flow, next } = await openFlow(t);
    for (const datagram of [Buffer.from('one'), Buffer.alloc(0), randomBytes(60_000)]) {
      flow.write(framed(datagram));
      assert.ok((await next()).equals(datagram), `${datagram.length} bytes`);
    }
    flow.write(framed(Buffer.from('large')));
    assert.equal((await next()).length, 60_000);
  });

  test('does not mind where the stream is split', async (t) => {
    const { flow, next } = await openFlow(t);
    const bytes = Buffer.concat([framed(Buffer.from('first')), framed(randomBytes(300))]);
    for (const byte of bytes) {
      flow.write(Buffer.from([byte]));
      if (byte % 16 === 0) await pause(1);
    }
    assert.equal((await next()).toString(), 'first');
    assert.equal((await next()).length, 300);
  });

  test('outlives a time in which nobody listens', async (t) => {
    const place = createSocket('udp4').bind(0, '127.0.0.1');
    await once(place, 'listening');
    const { port } = place.address();
    place.close();
    const { flow, next } = await openFlow(t, port);
    for (let tries = 0; tries < 3; tries += 1) {
      flow.write(framed(Buffer.from('lost')));
      await pause(20);
    }
    const late = createSocket('udp4').bind(port, '127.0.0.1');
    t.after(() => late.close());
    late.on('message', (datagram, from) => late.send(datagram, from.port, from.address));
    await once(late, 'listening');
    flow.write(framed(Buffer.from('found')));
    assert.equal((await next()).toString(), 'found');
  });

  test('ends with its client, and its place is free for the next', async (t) => {
    const { flow, connection, target } = await openFlow(t);
    flow.destroy();
    for (let turn = 0; turn < 100; turn += 1) {
      const one = await connection.connect(target, soon());
      one.write(framed(Buffer.from('x')));
      assert.equal((await reader(one)()).toString(), 'x');
      one.destroy();
    }
  });
});
