// http: input from programs that do not know HTTP, disconnect, or wait forever. The server library ends silent connections
// after about ten seconds; these tests wait for that in parallel.

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
  eventually,
  outcome,
  pause,
  RawClient,
  startServer,
  type TestServer,
} from './harness.ts';
import { type Outcome, SERVER } from './server-versions.ts';

const HEALTH = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n';
const POST = 'POST /api/v1/vms HTTP/1.1\r\nHost: localhost\r\n';

/** Sends bytes on a connection of their own. */
async function sent(t: TestContext, server: TestServer, bytes: string): Promise<RawClient> {
  return (await RawClient.open(t, server)).send(bytes);
}

/** Nothing that came before has harmed the server. */
async function expectWell(server: TestServer): Promise<void> {
  assert.equal((await ask(server, 'GET /healthz')).text, '{"status":"ok"}');
  assert.deepEqual(server.fake.calls, []);
  assert.deepEqual(
    server.log.filter(({ level }) => level === 'error' || level === 'warn'),
    [],
  );
}

/** Requests that no server could understand, and what the connection ends with. */
const MALFORMED: Readonly<Record<string, readonly [bytes: string, outcome: Outcome]>> = {
  'a TLS hello': ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n', 505],
  'no path': ['GET\r\n\r\n', SERVER.methodAlone],
  'no Host': ['GET /healthz HTTP/1.1\r\n\r\n', SERVER.withoutHost],
  'a header with a blank in its name': [
    `${HEALTH.trimEnd()}\r\nA : b\r\n\r\n`,
    SERVER.blankInHeaderName,
  ],
  'more headers than anybody needs': [
    `${HEALTH.trimEnd()}\r\n${'A: b\r\n'.repeat(200)}\r\n`,
    SERVER.manyHeaders,
  ],
  'a folded header': [`${HEALTH.trimEnd()}\r\nA: b\r\n c\r\n\r\n`, SERVER.foldedHeader],
  'no version': ['GET /healthz\r\n\r\n', 505],
  'HTTP/1.0': ['GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n', 505],
  'HTTP/2': ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
  'lines without CR': ['GET /healthz HTTP/1.1\nHost: localhost\n\n', 505],
  'a NUL in the path': ['GET /api/v1/vms/o\x00ne HTTP/1.1\r\nHost: localhost\r\n\r\n', 505],
  'a tunnel': ['CONNECT elsewhere:1 HTTP/1.1\r\nHost: localhost\r\n\r\n', 505],
  'two lengths of a body': [
    `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  'a negative length': [`${POST}Content-Length: -5\r\n\r\n{}   `, 400],
  'a length that is no number': [`${POST}Content-Length: many\r\n\r\n{}`, 400],
  'a length beyond all numbers': [`${POST}Content-Length: 99999999999999999999\r\n\r\n{}`, 400],
  'a chunk without a length': [
    `${POST}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n`,
    400,
  ],
  'a head without end': [
    `GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: ${'a'.repeat(1_000_000)}`,
    431,
  ],
};

test('what is not HTTP is refused and the connection ends', async (t) => {
  const server = await startServer(t);
  const refuse = async ([what, [bytes, outcome]]: [string, readonly [string, Outcome]]) => {
    const client = await sent(t, server, bytes);
    await client.end();
    const expected = outcome === 'silence' ? /^$/ : new RegExp(`^HTTP/1\\.1 ${outcome} `);
    assert.match(client.received, expected, what);
  };
  await Promise.all(Object.entries(MALFORMED).map(refuse));
  await expectWell(server);
});

test('any bytes at all do no harm', async (t) => {
  const server = await startServer(t);
  let seed = 42;
  const random = () => {
    // A linear congruential generator (Numerical Recipes), so that a failure can be repeated.
    seed = (seed * 1_664_525 + 1_013_904_223) >>> 0;
    return seed;
  };
  const pieces = [
    'GET ',
    'POST ',
    '/api/v1/vms',
    ' HTTP/1.1',
    '\r\n',
    '\r\n\r\n',
    'Host: localhost',
    ':',
  ];
  const more = [
    'Content-Length: 5',
    'Transfer-Encoding: chunked',
    '%',
    '?',
    '\0',
    '5\r\n',
    '{}',
    ' ',
  ];
  const words = [...pieces, ...more, '\xff\xfe', 'Upgrade: websocket', 'Expect: 100-continue'];
  for (let round = 0; round < 300; round += 1) {
    const length = 1 + (random() % 30);
    const text = Array.from({ length }, () => words[random() % words.length]).join('');
    const client = await RawClient.open(t, server);
    client.send(Buffer.from(text, 'latin1'));
    if (round % 50 === 0) await pause(5);
    client.socket.destroy();
  }
  assert.equal((await ask(server, 'GET /healthz')).status, 200);
  assert.deepEqual(
    server.log.filter(({ level }) => level === 'error'),
    [],
  );
});

test('a head that comes in pieces is understood once its first line is whole', async (t) => {
  const server = await startServer(t);
  const rest = HEALTH.indexOf('\r\n') + 2;
  const client = await sent(t, server, HEALTH.slice(0, rest));
  for (const byte of HEALTH.slice(rest)) {
    client.send(byte);
    await pause(2);
  }
  assert.equal((await client.answer()).status, 200);
});

/** What keeps a connection open without ever being a request, or after one. */
const SILENT: Readonly<Record<string, string>> = {
  'nothing at all': '',
  'a head that does not end': 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-',
};

async function expectSilenceEnds(t: TestContext): Promise<void> {
  const server = await startServer(t);
  const clients = await Promise.all(Object.values(SILENT).map((bytes) => sent(t, server, bytes)));
  const idle = await sent(t, server, HEALTH);
  const slow = await sent(t, server, 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ');
  const trickle = setInterval(() => slow.send('x'), 500);
  t.after(() => clearInterval(trickle));
  await Promise.all([...clients, idle, slow].map((client) => client.end()));
  for (const client of [...clients, slow]) assert.equal(client.received, '');
  assert.equal((await idle.answer()).status, 200);
  await expectWell(server);
}

const LIST = 'GET /api/v1/vms HTTP/1.1\r\nHost: localhost\r\n\r\n';

async function expectStalledReaderIsCutOff(t: TestContext, size: number): Promise<void> {
  const { fake, asked } = await createLargeFleet(size);
  const server = await startServer(t, { fake });
  const client = await RawClient.open(t, server);
  client.socket.pause();
  client.send(LIST);
  await eventually(() => asked() === 1, 'the list');
  // What the drain waits for is the answer; it is over when the server has given it up.
  await server.server.drain(100_000);
  client.socket.resume();
  await client.end();
  const length = Number(/Content-Length: (\d+)/.exec(client.received)?.[1] ?? Number.NaN);
  const isComplete = client.received.length >= length || client.received.endsWith('\r\n0\r\n\r\n');
  assert.ok(!isComplete, 'the answer is not complete');
  assert.deepEqual(
    server.log.filter(({ level }) => level === 'warn'),
    [],
  );
}

async function expectTrickledBodyIsAnswered(t: TestContext): Promise<void> {
  const server = await startServer(t);
  const client = await sent(t, server, `${POST}Content-Length: 1000\r\n\r\n{`);
  const silent = await sent(t, server, `${POST}Content-Length: 1000\r\n\r\n{`);
  const trickle = setInterval(() => client.send(' '), 1000);
  t.after(() => clearInterval(trickle));
  assert.equal(outcome(await client.answer()), '408 REQUEST_TIMEOUT');
  assert.equal(outcome(await silent.answer()), '408 REQUEST_TIMEOUT');
  await Promise.all([client.end(), silent.end()]);
  await expectWell(server);
}

test('who only waits is not waited for', { concurrency: 4 }, async (t) => {
  await Promise.all([
    t.test('a body that does not come is answered with 408', expectTrickledBodyIsAnswered),
    t.test('a connection without a request is ended', expectSilenceEnds),
    ...LARGE_FLEETS.map((size) =>
      t.test(`a client that does not read its answer of ${size} VMs is disconnected`, (inner) =>
        expectStalledReaderIsCutOff(inner, size),
      ),
    ),
  ]);
});

for (const size of LARGE_FLEETS) {
  test(`asking for much and reading nothing costs the server one answer: ${size} VMs`, async (t) => {
    const { fake, asked } = await createLargeFleet(size);
    const server = await startServer(t, { fake });
    const client = await RawClient.open(t, server);
    const before = process.memoryUsage().rss;
    client.socket.pause();
    client.send(LIST.repeat(60));
    await eventually(() => asked() > 0, 'the first list');
    await pause(200);
    // 60 answers are 1.5 GB.
    assert.ok(process.memoryUsage().rss - before < 600e6, 'memory for answers that nobody reads');
    client.socket.resume();
    await client.end();
    assert.equal((await ask(server, 'GET /healthz')).status, 200);
  });
}

for (const size of LARGE_FLEETS) {
  test(`a client that reads slowly gets every byte: ${size} VMs`, async (t) => {
    const { fake, body } = await createLargeFleet(size);
    const server = await startServer(t, { fake });
    const client = await RawClient.open(t, server);
    client.send(LIST);
    const hold = setInterval(() => {
      client.socket.pause();
      setTimeout(() => client.socket.resume(), 10);
    }, 20);
    t.after(() => clearInterval(hold));
    const { text } = await client.answer();
    assert.ok(text === body, `${text.length} of ${body.length}`);
  });
}

test('a client that goes while it sends has asked nothing', async (t) => {
  const server = await startServer(t);
  for (let round = 0; round < 50; round += 1) {
    const client = await sent(t, server, `${POST}Content-Length: 1000\r\n\r\n{"name":`);
    if (round % 2 === 0) await pause(2);
    if (round % 3 === 0) client.socket.end();
    else client.socket.resetAndDestroy();
  }
  await pause(50);
  await server.server.drain(60_000);
  assert.deepEqual(server.fake.calls, []);
  assert.deepEqual(
    server.log.filter(({ level }) => level !== 'debug'),
    [],
  );
});

interface HeldStops {
  readonly fake: FakeEngine;
  /** Lets the stops that are under way end. */
  readonly waiting: (() => void)[];
  readonly finished: () => number;
}

/** An engine whose stops take until they are let go. */
function holdStops(): HeldStops {
  const waiting: (() => void)[] = [];
  let finished = 0;
  const stop = async () => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    finished += 1;
    return '{}';
  };
  return { fake: createFakeEngine({ vms: { stop } }), waiting, finished: () => finished };
}

const STOP = 'POST /api/v1/vms/one/stop HTTP/1.1\r\nHost: localhost\r\n\r\n';

test('an operation continues when the client that asked for it is gone', async (t) => {
  const { fake, waiting, finished } = holdStops();
  const server = await startServer(t, { fake });
  for (let round = 0; round < 20; round += 1) {
    const client = await sent(t, server, STOP);
    await eventually(() => waiting.length === round + 1, 'the stop');
    if (round % 2 === 0) client.socket.resetAndDestroy();
    else client.socket.end();
  }
  // The answers of those that are gone have nowhere to go, and nobody is harmed by them.
  await server.server.drain(60_000);
  for (const release of waiting) release();
  await eventually(() => finished() === 20, 'the end of the stops');
  assert.deepEqual(
    server.log.filter(({ level }) => level !== 'debug'),
    [],
  );
});

test('a request behind one that takes long ends the connection', async (t) => {
  const { fake, waiting } = holdStops();
  const server = await startServer(t, { fake });
  const client = await sent(t, server, STOP);
  await eventually(() => waiting.length === 1, 'the stop');
  client.send(HEALTH);
  await client.end();
  assert.equal(client.received, '');
  for (const release of waiting) release();
  assert.equal((await ask(server, 'GET /healthz')).status, 200);
});

test('requests in one write: one behind an answer that takes long ends the connection without it', async (t) => {
  const { fake, waiting } = holdStops();
  const server = await startServer(t, { fake });
  const client = await sent(t, server, STOP + HEALTH);
  await client.end();
  // It is carried out nevertheless: who sends in advance asks again, with an Idempotency-Key.
  assert.equal(client.received, '');
  assert.equal(waiting.length, 1);
  for (const release of waiting) release();
  const patient = await sent(t, server, HEALTH + HEALTH);
  assert.equal((await patient.answer()).status, 200);
  assert.equal((await patient.answer()).status, 200);
});

test('what the library reads more loosely than RFC 9112 is as docs/systems.md says', async (t) => {
  const server = await startServer(t);
  const post = (...lines: string[]) => `${POST}${lines.join('\r\n')}\r\n\r\n`;
  const statusOf = async (bytes: string) => (await (await sent(t, server, bytes)).answer()).status;
  const body = '{"name":"one"}';
  const differing = post(`Content-Length: ${body.length}`, 'Content-Length: 3') + body;
  const identity = `${post('Transfer-Encoding: identity')}e\r\n${body}\r\n0\r\n\r\n`;
  assert.equal(await statusOf(differing), 201);
  assert.equal(await statusOf(identity), 409, 'the first was read whole, and so was this one');
});

test('a client that has said all it will say is answered if that can be done at once', async (t) => {
  const server = await startServer(t);
  const client = await sent(t, server, HEALTH);
  client.socket.end();
  assert.equal((await client.answer()).status, 200);
  await client.end();
});

test('a thousand connections that come and go leave nothing behind', async (t) => {
  const server = await startServer(t);
  for (let round = 0; round < 20; round += 1) {
    const clients = await Promise.all(Array.from({ length: 50 }, () => RawClient.open(t, server)));
    for (const client of clients) client.send(HEALTH.slice(0, 40)).socket.destroy();
  }
  await server.server.drain(60_000);
  assert.deepEqual(
    server.log.filter(({ level }) => level !== 'debug'),
    [],
  );
});

test('Expect: 100-continue is answered with 100', async (t) => {
  const server = await startServer(t);
  const client = await sent(t, server, `${POST}Expect: 100-continue\r\nContent-Length: 14\r\n\r\n`);
  await eventually(() => client.received.startsWith('HTTP/1.1 100 Continue\r\n\r\n'), 'go on');
  assert.equal((await client.answer()).status, 100);
  client.send('{"name":"one"}');
  assert.equal((await client.answer()).status, 201);
});

test('a request to become a WebSocket where there is none is an ordinary request', async (t) => {
  const server = await startServer(t);
  const upgrade =
    'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==';
  const client = await sent(
    t,
    server,
    `GET /api/v1/vms/one HTTP/1.1\r\nHost: localhost\r\n${upgrade}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
  assert.equal(outcome(await client.answer()), '404 VM_NOT_FOUND');
});
