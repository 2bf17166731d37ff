// client: event streams: their order, how they resume after a lost connection, and what ends them.

import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { createClient } from '../../src/client/client.ts';
import type { StreamState } from '../../src/client/events.ts';
import { readServerSentEvents } from '../../src/client/sse.ts';
import { type SeenRequest, sendJson, startFakeDaemon } from './fake-daemon.ts';

const frame = (id: number, name = `vm-${id}`) =>
  `id: ${id}\nevent: VM_CREATED\ndata: {"type":"VM_CREATED","name":"${name}"}\n\n`;

/** Each connection is answered by the next step; a step that is a text is the whole stream. */
async function startStream(t: TestContext, steps: (string | ((r: ServerResponse) => void))[]) {
  return startFakeDaemon(t, (_: SeenRequest, response: ServerResponse) => {
    const step = steps.shift() ?? (() => response.destroy());
    if (typeof step === 'function') return step(response);
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write(': connected\n\n');
    response.end(step);
  });
}

const openStream = (response: ServerResponse, text: string) => {
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  response.write(text);
};

test('events come in order, and after a loss from where it was lost', async (t) => {
  const daemon = await startStream(t, [frame(1) + frame(2), '', frame(3)]);
  const states: StreamState['state'][] = [];
  const { events } = createClient({ baseUrl: daemon.url });
  const ids: (number | null)[] = [];
  const options = { after: 0, name: ['a', 'b'], onState: (s: StreamState) => states.push(s.state) };
  for await (const event of events.vms(options)) {
    ids.push(event.id);
    if (event.id === 3) break;
  }
  assert.deepEqual(ids, [1, 2, 3]);
  assert.deepEqual(
    daemon.seen.map(({ headers }) => headers['last-event-id']),
    [undefined, '2', '2'],
  );
  assert.deepEqual(daemon.calls(), [
    'GET /api/v1/events/vms?name=a%2Cb&after=0',
    'GET /api/v1/events/vms?name=a%2Cb',
    'GET /api/v1/events/vms?name=a%2Cb',
  ]);
  assert.deepEqual(states, ['open', 'lost', 'open', 'lost', 'open']);
});

test('lost before the first number: the reader learns that something may be missing', async (t) => {
  const daemon = await startStream(t, ['', frame(9)]);
  const types: string[] = [];
  for await (const event of createClient({ baseUrl: daemon.url }).events.all()) {
    types.push(`${event.type} ${event.id}`);
    if (event.id === 9) break;
  }
  assert.deepEqual(types, ['RESYNC null', 'VM_CREATED 9']);
});

test('a RESYNC of the daemon is given out like any event', async (t) => {
  const resync = 'id: 40\nevent: RESYNC\ndata: {"type":"RESYNC","name":"","status":""}\n\n';
  const daemon = await startStream(t, [resync]);
  for await (const event of createClient({ baseUrl: daemon.url }).events.all({ after: 3 })) {
    assert.deepEqual([event.type, event.id], ['RESYNC', 40]);
    break;
  }
});

test('silence is a loss', async (t) => {
  const steps = [frame(2), frame(2), frame(2), frame(2)];
  const silent = (response: ServerResponse) => openStream(response, frame(1));
  const daemon = await startStream(t, [silent, ...steps]);
  const ids: (number | null)[] = [];
  const { events } = createClient({ baseUrl: daemon.url });
  for await (const event of events.all({ silenceMsMax: 200 })) {
    ids.push(event.id);
    if (event.id === 2) break;
  }
  assert.deepEqual(ids, [1, 2]);
});

test('a refusal is final; a daemon that does not return ends the stream with an error', async (t) => {
  const refusing = await startStream(t, [
    (response) => sendJson(response, 401, { error: 'key', code: 'UNAUTHORIZED' }),
  ]);
  const refused = createClient({ baseUrl: refusing.url }).events.all().next();
  await assert.rejects(refused, { code: 'UNAUTHORIZED' });
  assert.equal(refusing.seen.length, 1);
  const dying = await startStream(t, [frame(1)]);
  const stream = createClient({ baseUrl: dying.url }).events.all({ reconnectsMax: 1 });
  assert.equal((await stream.next()).value?.id, 1);
  await assert.rejects(stream.next(), { name: 'ConnectionError' });
});

test('an abort ends the loop without an error, and leaving it closes the connection', async (t) => {
  const closed: Promise<unknown>[] = [];
  const hold = (response: ServerResponse) => {
    closed.push(new Promise((resolve) => response.once('close', resolve)));
    openStream(response, frame(1));
  };
  const daemon = await startStream(t, [hold, hold]);
  const { events } = createClient({ baseUrl: daemon.url });
  const controller = new AbortController();
  for await (const _ of events.all({ signal: controller.signal })) controller.abort();
  for await (const _ of events.all()) break;
  assert.equal(closed.length, 2);
  await Promise.all(closed);
});

test('the wire format: line ends of every kind, comments, many lines of data, split anywhere', async () => {
  const text =
    ': hello\r\nid: 1\r\ndata: a\r\ndata:b\r\n\r\nevent: x\ndata: ünï\n\n\n: c\rdata: last\r\rdata: cut';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 2, 7, bytes.length]) {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) {
          controller.enqueue(bytes.slice(at, at + size));
        }
        controller.close();
      },
    });
    const seen = [];
    for await (const event of readServerSentEvents(body, () => undefined)) seen.push(event);
    assert.deepEqual(
      seen,
      [
        { id: '1', type: 'message', data: 'a\nb' },
        { id: '1', type: 'x', data: 'ünï' },
        { id: '1', type: 'message', data: 'last' },
      ],
      `in pieces of ${size}`,
    );
  }
});
