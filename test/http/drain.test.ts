// http: the end of a server: requests under way are answered, new ones are asked to retry later.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  createFakeEngine,
  createLargeFleet,
  type FakeEngine,
  LARGE_FLEETS,
} from './fake-engine.ts';
import {
  ask,
  errorIn,
  eventually,
  inTime,
  outcome,
  pause,
  RawClient,
  startServer,
  type TestServer,
} from './harness.ts';

interface Held {
  readonly fake: FakeEngine;
  /** How many creates wait. */
  readonly waiting: () => number;
  readonly release: () => void;
}

/** An engine whose creates take until they are let go. */
function holdCreates(): Held {
  const waiting: (() => void)[] = [];
  const fake = createFakeEngine({
    vms: {
      create: async ({ name }) => {
        await new Promise<void>((resolve) => waiting.push(resolve));
        return JSON.stringify({ name });
      },
    },
  });
  const release = () => {
    for (const resolve of waiting) resolve();
  };
  return { fake, waiting: () => waiting.length, release };
}

const BODY = '{"name":"one"}';

async function connectionWithCreate(t: TestContext, server: TestServer): Promise<RawClient> {
  const client = await RawClient.open(t, server);
  client.head('POST /api/v1/vms HTTP/1.1', 'Host: localhost', `Content-Length: ${BODY.length}`);
  return client.send(BODY);
}

/** Resolves to whether the promise has been settled by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  return Promise.race([promise.then(() => true), pause(100).then(() => false)]);
}

test('a drain waits for what is under way, and answers it', async (t) => {
  const held = holdCreates();
  const server = await startServer(t, { fake: held.fake });
  const client = await connectionWithCreate(t, server);
  await eventually(() => held.waiting() === 1, 'the create');
  const drained = server.server.drain(60_000);
  assert.equal(await isSettled(drained), false);
  held.release();
  await inTime(drained, 'the drain');
  server.server.close();
  assert.deepEqual((await client.answer()).text, '{"name":"one"}');
  await client.end();
});

test('a body that is still arriving is under way, too', async (t) => {
  const server = await startServer(t);
  const client = await RawClient.open(t, server);
  const length = `Content-Length: ${BODY.length}`;
  client.head('POST /api/v1/vms HTTP/1.1', 'Host: localhost', 'Expect: 100-continue', length);
  assert.equal((await client.answer()).status, 100);
  client.send(BODY.slice(0, 5));
  const drained = server.server.drain(60_000);
  assert.equal(await isSettled(drained), false);
  client.send(BODY.slice(5));
  assert.equal((await client.answer()).status, 201);
  await inTime(drained, 'the drain');
});

for (const size of LARGE_FLEETS) {
  test(`an answer with ${size} VMs that its client still reads is under way, too`, async (t) => {
    const { fake, asked, body } = await createLargeFleet(size);
    const server = await startServer(t, { fake });
    const client = await RawClient.open(t, server);
    client.socket.pause();
    client.head('GET /api/v1/vms HTTP/1.1', 'Host: localhost');
    await eventually(() => asked() === 1, 'the list');
    const drained = server.server.drain(60_000).then(() => server.server.close());
    assert.equal(await isSettled(drained), false);
    client.socket.resume();
    const answer = await client.answer();
    assert.ok(answer.text === body, `${answer.text.length} of ${body.length}`);
    await inTime(drained, 'the drain');
  });
}

test('new requests on connections that are open are sent away', async (t) => {
  const held = holdCreates();
  const server = await startServer(t, { fake: held.fake });
  const [idle, other, reader] = await Promise.all([
    RawClient.open(t, server),
    RawClient.open(t, server),
    RawClient.open(t, server),
  ]);
  const client = await connectionWithCreate(t, server);
  await eventually(() => held.waiting() === 1, 'the create');
  const drained = server.server.drain(60_000);
  idle.head('GET /api/v1/vms HTTP/1.1', 'Host: localhost');
  other.head('POST /api/v1/vms HTTP/1.1', 'Host: localhost', `Content-Length: ${BODY.length}`);
  other.send(BODY);
  reader.head('GET /api/v1/events/vms HTTP/1.1', 'Host: localhost');
  for (const connection of [idle, other, reader]) {
    const answer = await connection.answer();
    assert.equal(outcome(answer), '503 SHUTTING_DOWN');
    assert.equal(answer.headers.connection, 'close');
    assert.equal(answer.headers['retry-after'], '1');
    assert.notEqual(errorIn(answer).error, '');
    await connection.end();
  }
  await assert.rejects(ask(server, 'GET /healthz'), { code: 'ECONNREFUSED' });
  held.release();
  await inTime(drained, 'the drain');
  assert.equal((await client.answer()).status, 201);
  assert.equal(held.waiting(), 1);
});

test('streams end with the drain, so that their readers reconnect to the next daemon', async (t) => {
  const server = await startServer(t);
  const clients = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const client = await RawClient.open(t, server);
      return client.head('GET /api/v1/events/vms HTTP/1.1', 'Host: localhost');
    }),
  );
  for (const client of clients) {
    await eventually(() => client.received.includes(': connected'), 'the stream');
  }
  await inTime(server.server.drain(60_000), 'the drain');
  // The last chunk: the stream is complete, nothing was cut off.
  for (const client of clients) {
    await eventually(() => client.received.endsWith('0\r\n\r\n'), 'the end of the stream');
  }
  assert.equal(server.fake.events.listeners, 0);
});

test('a drain does not wait for a client that has gone', async (t) => {
  const held = holdCreates();
  const server = await startServer(t, { fake: held.fake });
  const client = await connectionWithCreate(t, server);
  const sender = await RawClient.open(t, server);
  sender.head('POST /api/v1/vms HTTP/1.1', 'Host: localhost', 'Content-Length: 100').send('{');
  await eventually(() => held.waiting() === 1, 'the create');
  client.socket.resetAndDestroy();
  sender.socket.resetAndDestroy();
  await inTime(server.server.drain(60_000), 'the drain');
  held.release();
});

test('what takes longer than the drain may take is abandoned, and the log says so', async (t) => {
  const held = holdCreates();
  const server = await startServer(t, { fake: held.fake });
  const client = await connectionWithCreate(t, server);
  await eventually(() => held.waiting() === 1, 'the create');
  await inTime(server.server.drain(20), 'the drain');
  assert.deepEqual(
    server.log.filter(({ level }) => level === 'warn').map(({ bindings }) => bindings),
    [{ requests: 1 }],
  );
  server.server.close();
  await client.end();
  assert.equal(client.received, '');
  // Its end comes to a connection that is no more.
  held.release();
  await pause(20);
});

test('a server that nobody uses drains at once', async (t) => {
  const server = await startServer(t);
  const client = await RawClient.open(t, server);
  client.head('GET /healthz HTTP/1.1', 'Host: localhost');
  await client.answer();
  await inTime(server.server.drain(60_000), 'the drain');
  server.server.close();
  await client.end();
});
