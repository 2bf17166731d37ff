// http: connections are bounded, and those above the bound affect no others.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { serve, until } from './served.ts';

const BUDGET = { connections: 8, eventStreams: 2, webSockets: 2 };

interface Client {
  readonly socket: Socket;
  received: string;
  closed: boolean;
}

async function open(t: TestContext, port: number): Promise<Client> {
  const client: Client = { socket: connect(port, '127.0.0.1'), received: '', closed: false };
  client.socket.on('data', (chunk) => {
    client.received += chunk;
  });
  client.socket.on('error', () => undefined);
  client.socket.once('close', () => {
    client.closed = true;
  });
  t.after(() => client.socket.destroy());
  await once(client.socket, 'connect');
  return client;
}

function openMany(t: TestContext, port: number, count: number): Promise<Client[]> {
  return Promise.all(Array.from({ length: count }, () => open(t, port)));
}

function ask({ socket }: Client, path: string, ...headers: string[]): void {
  socket.write([`GET ${path} HTTP/1.1`, 'Host: localhost', ...headers, '', ''].join('\r\n'));
}

test('new connections are closed where there are too many, and taken when there is room', async (t) => {
  const { port } = await serve(t, { limits: { budget: BUDGET } });
  const clients = await openMany(t, port, 30);
  await until(() => clients.filter(({ closed }) => closed).length === 22);
  const kept = clients.filter(({ closed }) => !closed);
  assert.equal(kept.length, BUDGET.connections);
  for (const client of kept) ask(client, '/healthz');
  await until(() => kept.every(({ received }) => received.startsWith('HTTP/1.1 200')));
  for (const { socket } of kept.slice(0, 4)) socket.destroy();
  await until(() => kept.slice(0, 4).every(({ closed }) => closed));
  const later = await open(t, port);
  ask(later, '/healthz');
  await until(() => later.received.startsWith('HTTP/1.1 200'));
});

test('WebSockets have a bound of their own, and give their places back when they end', async (t) => {
  const { port, world } = await serve(t, { limits: { budget: BUDGET } });
  world.hypervisor.openConsole = async () => duplexPair()[0];
  const upgrade = [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version: 13',
  ];
  // More in all than there may be connections: each gives its place back.
  for (let round = 0; round < 8; round += 1) {
    const viewers = await openMany(t, port, 3);
    for (const viewer of viewers) ask(viewer, '/ws/v1/vms/one/console', ...upgrade);
    await until(() => viewers.every(({ received }) => received.includes('\r\n\r\n')));
    const statuses = viewers.map(({ received }) => received.slice(9, 12)).toSorted();
    assert.deepEqual(statuses, ['101', '101', '503']);
    const refused = viewers.find(({ received }) => received.includes(' 503 '));
    assert.match(refused?.received ?? '', /\r\nRetry-After: \d+\r\n/i);
    for (const { socket } of viewers) socket.destroy();
    await until(() => viewers.every(({ closed }) => closed));
  }
  const later = await open(t, port);
  ask(later, '/healthz');
  await until(() => later.received.startsWith('HTTP/1.1 200'));
});

test('streams take half of the connections at most, and one more is asked to try later', async (t) => {
  const { port } = await serve(t, { limits: { budget: BUDGET } });
  const readers = await openMany(t, port, 3);
  for (const reader of readers) ask(reader, '/api/v1/events/vms');
  await until(() => readers.every(({ received }) => received.includes('\r\n\r\n')));
  const statuses = readers.map(({ received }) => received.slice(9, 12)).toSorted();
  assert.deepEqual(statuses, ['200', '200', '503']);
});
