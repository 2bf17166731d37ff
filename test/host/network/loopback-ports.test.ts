// What programs rely on that mean ::1 by localhost: a published port is there, too, and leads where that of 127.0.0.1 does.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { holdPublished } from '../../../src/host/network/loopback-ports.ts';
import { freePort } from '../../helpers/free-port.ts';

async function published(
  t: TestContext,
  protocol: 'tcp' | 'udp',
  serve: (connection: Duplex) => boolean,
  address = '0.0.0.0',
) {
  const port = await freePort();
  const held = await holdPublished(protocol, address, port, serve);
  t.after(() => held.release());
  return { port, held };
}

async function asking(t: TestContext, port: number, host = '::1'): Promise<Socket> {
  const socket = connect({ host, port, allowHalfOpen: true });
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

test('bytes both ways, and each side ends by itself', async (t) => {
  const { port } = await published(t, 'tcp', (connection) => {
    let asked = '';
    connection.on('data', (bytes) => {
      asked += bytes;
    });
    connection.once('end', () => connection.end(`${asked}!`));
    return true;
  });
  const clients = await Promise.all([asking(t, port), asking(t, port, '127.0.0.1')]);
  for (const client of clients) {
    client.end('x'.repeat(500_000));
    assert.equal(await text(client), `${'x'.repeat(500_000)}!`);
  }
});

test('what nobody takes and what is broken off is reset', async (t) => {
  const taken: Duplex[] = [];
  const { port } = await published(t, 'tcp', (connection) => {
    connection.on('error', () => undefined);
    taken.push(connection);
    return taken.length > 1;
  });
  const refused = await asking(t, port);
  const [reset] = await once(refused.resume(), 'error');
  assert.equal(reset.code, 'ECONNRESET');
  const client = await asking(t, port);
  while (taken.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  (taken[1] as Socket).resetAndDestroy();
  assert.equal((await once(client.resume(), 'error'))[0].code, 'ECONNRESET');
  const leaving = await asking(t, port);
  while (taken.length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  leaving.resetAndDestroy();
  const [left] = await once((taken[2] as Duplex).resume(), 'close').catch((error) => [error]);
  assert.equal(left.code, 'ECONNRESET');
});

test('one connection more than there may be is closed, and the others continue', async (t) => {
  const { port } = await published(t, 'tcp', (connection) => {
    connection.on('error', () => undefined).pipe(connection);
    return true;
  });
  const clients: Socket[] = [];
  while (clients.length < LIMITS.loopbackConnectionsMax) clients.push(await asking(t, port));
  const last = await asking(t, port);
  await once(last.resume(), 'end');
  clients[0]?.write('on');
  assert.equal(String((await once(clients[0] as Socket, 'data'))[0]), 'on');
});

test('datagrams go and return, each sender its own', async (t) => {
  const flows: Duplex[] = [];
  const { port } = await published(t, 'udp', (flow) => {
    flows.push(flow);
    flow.on('data', (framed) => flow.write(framed));
    return true;
  });
  const ask = async (what: string) => {
    const socket = createSocket('udp6');
    t.after(() => socket.close());
    socket.send(what, port, '::1');
    return String((await once(socket, 'message'))[0]);
  };
  assert.deepEqual(await Promise.all([ask('one'), ask('two'), ask('')]), ['one', 'two', '']);
  assert.equal(flows.length, 3);
});

test('it is given back with that of 127.0.0.1, and not asked for beside other addresses', async (t) => {
  const { port, held } = await published(t, 'tcp', () => false);
  const mine = createServer().listen(port, '::1');
  const [error] = await once(mine, 'error');
  assert.equal(error.code, 'EADDRINUSE');
  held.release();
  const after = createServer().listen(port, '::1');
  await once(after, 'listening');
  t.after(() => after.close());
  // Somebody else's port of ::1 keeps nobody from that of 127.0.0.1.
  (await holdPublished('tcp', '0.0.0.0', port, () => false)).release();

  const other = await published(t, 'tcp', () => false, '127.0.0.2');
  await assert.rejects(asking(t, other.port), { code: 'ECONNREFUSED' });
});
