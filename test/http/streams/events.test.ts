// http, streams: event streams: a reader gets every event once and in order, however often it reconnects and however slowly
// it reads, and a RESYNC if that is impossible.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { StreamLimits } from '../../../src/http/streams/sse.ts';
import { createFakeEngine, type FakeEngine, vmEvent } from '../fake-engine.ts';
import { ask, errorIn, eventually, outcome, pause, RawClient, startServer } from '../harness.ts';
import { SseReader } from './sse-client.ts';

const VMS = '/api/v1/events/vms';
const ALL = '/api/v1/events';

/** No heartbeats and no stalls unless a test is about them. */
const PATIENT: StreamLimits = {
  streamsMax: 1000,
  heartbeatMs: 600_000,
  stallMs: 600_000,
  batchMax: 256,
};

const serve = (t: TestContext, fake: FakeEngine = createFakeEngine(), limits = {}) =>
  startServer(t, { fake, streamLimits: { ...PATIENT, ...limits } });

/** A log of events of VMs named e1, e2 and so on. */
function logOf(count: number): FakeEngine {
  const fake = createFakeEngine();
  for (let number = 1; number <= count; number += 1) fake.events.append(vmEvent(`e${number}`));
  return fake;
}

test('a stream says at once that it is there, and then what happens', async (t) => {
  const server = await serve(t);
  const reader = await SseReader.open(t, server, VMS);
  assert.equal(reader.status, 200);
  assert.equal(reader.headers['content-type'], 'text/event-stream');
  assert.equal(reader.headers['cache-control'], 'no-cache');
  await eventually(() => reader.comments.length === 1, 'the first comment');
  const bodies = ['line one\nline "two" 🦊', 'grüß'].map((message) =>
    vmEvent('one', 'VM_CRASHED', { pid: 7, message }),
  );
  for (const [index, data] of bodies.entries()) {
    server.fake.events.append(data);
    await reader.until(index + 1);
    assert.deepEqual(reader.events[index], { id: index + 1, event: 'VM_CRASHED', data });
  }
});

test('a new reader begins with what comes next', async (t) => {
  const server = await serve(t, logOf(5));
  const reader = await SseReader.open(t, server, VMS);
  server.fake.events.append(vmEvent('next'));
  await reader.until(1);
  assert.deepEqual(reader.summary(), ['6 next']);
});

test('a reader that names its last event gets all that came after it', async (t) => {
  const server = await serve(t, logOf(1000));
  const cases = [
    { path: `${VMS}?after=0`, headers: {}, first: 1 },
    { path: `${VMS}?after=400`, headers: {}, first: 401 },
    { path: VMS, headers: { 'Last-Event-ID': '998' }, first: 999 },
    // Where a reader first began does not matter when it returns.
    { path: `${VMS}?after=10`, headers: { 'Last-Event-ID': '990' }, first: 991 },
    { path: `${VMS}?after=1000`, headers: {}, first: 1001 },
  ];
  const readers = await Promise.all(
    cases.map(({ path, headers }) => SseReader.open(t, server, path, headers)),
  );
  server.fake.events.append(vmEvent('e1001'));
  for (const [index, { first, path }] of cases.entries()) {
    const reader = readers[index];
    await reader?.until(1001 - first + 1);
    const expected = Array.from({ length: 1002 - first }, (_, i) => `${first + i} e${first + i}`);
    assert.deepEqual(reader?.summary(), expected, path);
  }
});

test('a reader that reconnects repeatedly misses nothing', async (t) => {
  const server = await serve(t);
  const seen: string[] = [];
  let last = 0;
  for (let round = 0; round < 20; round += 1) {
    const reader = await SseReader.open(t, server, VMS, { 'Last-Event-ID': String(last) });
    server.fake.events.append(vmEvent(`a${round}`), vmEvent(`b${round}`));
    await reader.until(1);
    reader.close();
    server.fake.events.append(vmEvent(`c${round}`));
    seen.push(...reader.summary());
    last = reader.events.at(-1)?.id ?? last;
  }
  const reader = await SseReader.open(t, server, `${VMS}?after=${last}`);
  await reader.until(60 - last);
  seen.push(...reader.summary());
  const expected = Array.from(
    { length: 60 },
    (_, i) => `${i + 1} ${'abc'[i % 3]}${Math.floor(i / 3)}`,
  );
  assert.deepEqual(seen, expected);
});

test('a number that is none is refused', async (t) => {
  const server = await serve(t, logOf(3));
  for (const after of ['-1', '1.5', 'x', '', '1e3', '%20', '0x1', '9999999999999999']) {
    const answer = await ask(server, `GET ${VMS}?after=${after}`);
    assert.equal(outcome(answer), '400 PARAMETER_INVALID', after);
    assert.deepEqual(Object.keys(errorIn(answer).details ?? {}), ['after']);
  }
  for (const id of ['-1', 'x', '1,2', '1&after=2', '%31']) {
    const answer = await ask(server, `GET ${VMS}`, { headers: { 'Last-Event-ID': id } });
    assert.equal(outcome(answer), '400 PARAMETER_INVALID', id);
    assert.deepEqual(Object.keys(errorIn(answer).details ?? {}), ['Last-Event-ID']);
  }
});

test('all that is wrong with a stream is reported, a number that does not count included', async (t) => {
  const server = await serve(t, logOf(1));
  const wrong = { headers: { 'Last-Event-ID': 'x' } };
  const answer = await ask(server, `GET ${VMS}?after=x&type=NOPE`, wrong);
  assert.equal(answer.status, 400);
  const named = Object.keys(errorIn(answer).details ?? {}).sort();
  assert.deepEqual(named, ['Last-Event-ID', 'after', 'type']);
  const right = { headers: { 'Last-Event-ID': '1' } };
  const first = errorIn(await ask(server, `GET ${VMS}?after=x`, right));
  assert.deepEqual(Object.keys(first.details ?? {}), ['after']);
});

test('filters choose by name, type and deployment, and by all of them', async (t) => {
  const server = await serve(t);
  const { events } = server.fake;
  events.append(
    vmEvent('web-1', 'VM_RUNNING', { deployment: 'web' }),
    vmEvent('web-2', 'VM_CRASHED', { deployment: 'web' }),
    vmEvent('db', 'VM_RUNNING'),
    vmEvent('db', 'VM_CRASHED'),
    vmEvent('web', 'DEPLOYMENT_DEGRADED', { deployment: 'web' }),
    vmEvent('db', 'CONFIG_CHANGED'),
    vmEvent('end', 'VM_DELETED', { deployment: 'web' }),
  );
  const expected: Record<string, readonly number[]> = {
    [`${VMS}?after=0`]: [1, 2, 3, 4, 7],
    [`${ALL}?after=0`]: [1, 2, 3, 4, 5, 6, 7],
    [`${VMS}?after=0&name=db,end`]: [3, 4, 7],
    [`${VMS}?after=0&name=db&name=end`]: [3, 4, 7],
    [`${ALL}?after=0&name=db&name=end`]: [3, 4, 6, 7],
    [`${VMS}?after=0&type=VM_CRASHED,%20VM_DELETED`]: [2, 4, 7],
    [`${ALL}?after=0&deployment=web`]: [1, 2, 5, 7],
    [`${VMS}?after=0&deployment=web&type=VM_RUNNING,VM_DELETED`]: [1, 7],
    [`${VMS}?after=1&name=&type=`]: [2, 3, 4, 7],
  };
  for (const [path, ids] of Object.entries(expected)) {
    const reader = await SseReader.open(t, server, path);
    await reader.until(ids.length);
    assert.deepEqual(
      reader.events.map(({ id }) => id),
      ids,
      path,
    );
    reader.close();
  }
});

test('a reader learns when events are gone that it has not seen', async (t) => {
  const fake = logOf(10);
  fake.events.forget(6);
  const server = await serve(t, fake);
  const reader = await SseReader.open(t, server, `${VMS}?after=2`);
  await reader.until(5);
  assert.deepEqual(reader.summary(), ['6 RESYNC', '7 e7', '8 e8', '9 e9', '10 e10']);
  assert.match(reader.events[0]?.data.message ?? '', /3 to 6 are gone/);
  // A reader that reconnects with the number of that event continues where it was.
  const again = await SseReader.open(t, server, VMS, { 'Last-Event-ID': '6' });
  await again.until(4);
  assert.deepEqual(again.summary(), ['7 e7', '8 e8', '9 e9', '10 e10']);
});

test('a reader that has seen the last event that is gone misses nothing', async (t) => {
  const fake = logOf(5);
  fake.events.forget(5);
  const server = await serve(t, fake);
  const reader = await SseReader.open(t, server, `${VMS}?after=5`);
  fake.events.append(vmEvent('e6'));
  await reader.until(1);
  assert.deepEqual(reader.summary(), ['6 e6']);
});

test('a number that no event has yet is reported, and the reader continues with what comes', async (t) => {
  const server = await serve(t, logOf(3));
  const reader = await SseReader.open(t, server, `${VMS}?after=100`);
  server.fake.events.append(vmEvent('e4'));
  await reader.until(2);
  assert.deepEqual(reader.summary(), ['3 RESYNC', '4 e4']);
  assert.match(reader.events[0]?.data.message ?? '', /no event 100/);
});

test('300 readers each get every event once and in order', async (t) => {
  const server = await serve(t);
  const readers = await Promise.all(
    Array.from({ length: 300 }, () => SseReader.open(t, server, VMS)),
  );
  for (let number = 1; number <= 40; number += 1) {
    server.fake.events.append(vmEvent(`e${number}`));
    // Some commits come while the readers are served, some when they are not.
    if (number % 3 === 0) await pause(2);
  }
  const expected = Array.from({ length: 40 }, (_, i) => `${i + 1} e${i + 1}`);
  for (const reader of readers) {
    await reader.until(40);
    assert.deepEqual(reader.summary(), expected);
  }
});

/** Appends events until the socket of a reader that does not read is more than full. */
function flood(fake: FakeEngine, count: number): void {
  const message = 'x'.repeat(8192);
  for (let number = 1; number <= count; number += 1) {
    fake.events.append(vmEvent(`e${number}`, 'VM_RUNNING', { message }));
  }
}

test('a reader that is slow keeps its place, and holds nobody up', async (t) => {
  const server = await serve(t);
  const slow = await SseReader.open(t, server, VMS);
  const quick = await SseReader.open(t, server, VMS);
  slow.pause();
  flood(server.fake, 4000);
  await quick.until(4000);
  assert.ok(slow.events.length < 4000, 'it did not read');
  server.fake.events.append(vmEvent('last'));
  slow.resume();
  await slow.until(4001);
  const ids = (reader: SseReader) => reader.events.map(({ id }) => id);
  const expected = Array.from({ length: 4001 }, (_, i) => i + 1);
  assert.deepEqual(ids(slow), expected);
  await quick.until(4001);
  assert.deepEqual(ids(quick), expected);
});

test('a reader that reads now and then gets everything in the end', async (t) => {
  const server = await serve(t);
  const reader = await SseReader.open(t, server, VMS);
  flood(server.fake, 4000);
  for (let round = 0; reader.events.length < 4000 && round < 2000; round += 1) {
    reader.pause();
    await pause(3);
    reader.resume();
    await pause(3);
  }
  assert.deepEqual(
    reader.events.map(({ id }) => id),
    Array.from({ length: 4000 }, (_, i) => i + 1),
  );
});

test('what a slow reader has not read does not wait in memory', async (t) => {
  const fake = logOf(0);
  const server = await serve(t, fake);
  const readers = await Promise.all(
    Array.from({ length: 10 }, () => SseReader.open(t, server, VMS)),
  );
  for (const reader of readers) reader.pause();
  const before = process.memoryUsage().rss;
  const message = 'x'.repeat(8192);
  for (let number = 1; number <= 8000; number += 1) {
    fake.events.append(vmEvent(`e${number}`, 'VM_RUNNING', { message }));
    // The log itself keeps little.
    if (number % 100 === 0) fake.events.forget(number - 50);
    if (number % 500 === 0) await pause(1);
  }
  await pause(100);
  // 64 MB for each of ten would be 640 MB.
  assert.ok(process.memoryUsage().rss - before < 400e6, 'memory for what nobody reads');
  // Afterwards they learn that they missed something, and continue.
  for (const reader of readers) reader.resume();
  const [reader] = readers;
  await eventually(() => reader?.events.at(-1)?.id === 8000, 'the last event');
  assert.ok(reader?.events.some(({ event }) => event === 'RESYNC'));
});

test('a reader that takes nothing for too long is disconnected', async (t) => {
  const fake = createFakeEngine();
  const server = await serve(t, fake, { heartbeatMs: 60, stallMs: 400 });
  const reader = await SseReader.open(t, server, VMS);
  const other = await SseReader.open(t, server, `${VMS}?name=nobody`);
  reader.pause();
  flood(fake, 4000);
  // By then the other one has been sent heartbeats for longer than a stall may take.
  await eventually(() => other.comments.length >= 30, 'heartbeats');
  reader.resume();
  await reader.end();
  assert.ok(reader.events.length < 4000);
  assert.equal(other.ended, false);
  // It reconnects with what it saw last, and misses nothing. On a busy machine it may be slow once more.
  const patient = await serve(t, fake);
  const last = reader.events.at(-1)?.id ?? 0;
  const again = await SseReader.open(t, patient, VMS, { 'Last-Event-ID': String(last) });
  await again.until(4000 - last);
  assert.equal(again.events[0]?.id, last + 1);
});

test('a silent stream is kept alive by comments, and they are no events', async (t) => {
  const server = await serve(t, undefined, { heartbeatMs: 30 });
  const reader = await SseReader.open(t, server, VMS);
  await eventually(() => reader.comments.length >= 4, 'heartbeats');
  assert.deepEqual(new Set(reader.comments.slice(1)), new Set(['heartbeat']));
  assert.deepEqual(reader.events, []);
});

test('a long replay leaves others their turn', async (t) => {
  const order: string[] = [];
  const long = logOf(20_000);
  const fake = createFakeEngine({
    events: {
      after: (sequence, limit) => {
        order.push('replay');
        return long.events.after(sequence, limit);
      },
      lastSequence: long.events.lastSequence,
      oldestSequence: long.events.oldestSequence,
      subscribe: long.events.subscribe,
    },
    system: {
      health: async () => {
        order.push('health');
        return { reasons: [], warnings: [] };
      },
    },
  });
  const server = await serve(t, fake, { batchMax: 50 });
  const reader = await RawClient.open(t, server);
  const other = await RawClient.open(t, server);
  reader.head(`GET ${VMS}?after=0&name=e20000 HTTP/1.1`, 'Host: localhost');
  other.head('GET /healthz HTTP/1.1', 'Host: localhost');
  await eventually(() => reader.received.includes('id: 20000\n'), 'the end of the replay');
  assert.ok(order.indexOf('health') < order.lastIndexOf('replay'), 'health waited for the replay');
  assert.equal(order.filter((what) => what === 'replay').length, 401);
});

test('there are so many streams at most, and room again when one ends', async (t) => {
  const server = await serve(t, undefined, { streamsMax: 3 });
  const readers = await Promise.all([VMS, ALL, VMS].map((path) => SseReader.open(t, server, path)));
  const refused = await ask(server, `GET ${VMS}`);
  assert.equal(outcome(refused), '503 OVERLOADED');
  assert.equal(refused.headers['retry-after'], '5');
  assert.equal((await ask(server, `HEAD ${VMS}`)).status, 200);
  readers[0]?.close();
  const opens = async () => (await SseReader.open(t, server, VMS)).status;
  let status = await opens();
  // The server learns a little later that a reader has gone.
  for (let round = 0; status === 503 && round < 1000; round += 1) status = await opens();
  assert.equal(status, 200);
});

test('HEAD answers what a stream is and does not open it', async (t) => {
  const server = await serve(t, undefined, { streamsMax: 0 });
  const head = await ask(server, `HEAD ${VMS}?after=1`);
  assert.equal(head.status, 200);
  assert.equal(head.headers['content-type'], 'text/event-stream');
});

test('readers that come and go leave nothing behind', async (t) => {
  const server = await serve(t);
  for (let round = 0; round < 10; round += 1) {
    const readers = await Promise.all(
      Array.from({ length: 20 }, () => SseReader.open(t, server, `${VMS}?after=0`)),
    );
    server.fake.events.append(vmEvent(`e${round}`));
    for (const reader of readers) reader.close();
  }
  await pause(50);
  // What the drain waits for are streams that are still open.
  await server.server.drain(60_000);
  assert.deepEqual(
    server.log.filter(({ level }) => level !== 'debug'),
    [],
  );
});
