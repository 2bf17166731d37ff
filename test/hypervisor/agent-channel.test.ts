// What the daemon relies on in its channel to an agent: it finds into step whatever came before, a
// stream is a connection with bounds on both ends, and no guest can break it or fill its memory.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { AgentChannel } from '../../src/hypervisor/agent-channel.ts';
import { ask, createAgentConnection } from '../../src/hypervisor/agent-client.ts';
import {
  encodeFrame,
  FRAME,
  HEADER_BYTES,
  PAYLOAD_BYTES_MAX,
  WINDOW_BYTES,
} from '../../src/hypervisor/agent-frames.ts';
import { silentLog } from '../engine/fakes.ts';
import { type FakeAgent, type HostSide, startFakeAgent } from './fake-agent.ts';

const soon = () => AbortSignal.timeout(30_000);

interface Connected {
  readonly channel: AgentChannel;
  readonly agent: FakeAgent;
  readonly side: HostSide;
}

async function connected(t: TestContext): Promise<Connected> {
  const agent = await startFakeAgent(t);
  const channel = new AgentChannel(agent.path, silentLog);
  t.after(() => channel.close());
  const side = await agent.accept();
  await side.greet();
  await channel.ready(soon());
  return { channel, agent, side };
}

/** A new stream and its number. */
async function opened({ channel, side }: Connected): Promise<{ stream: Duplex; number: number }> {
  const before = side.frames.length;
  const stream = channel.open().on('error', () => undefined);
  const { stream: number } = await side.frame(
    (frame) => frame.type === FRAME.open && side.frames.indexOf(frame) >= before,
  );
  return { stream, number };
}

/** Waits until a value stays the same for a while. */
async function settled(value: () => number): Promise<number> {
  for (;;) {
    const before = value();
    await pause(200);
    if (value() === before) return before;
  }
}

async function until(condition: () => boolean): Promise<void> {
  const signal = soon();
  while (!condition()) {
    signal.throwIfAborted();
    await pause(5);
  }
}

const errorOf = async (stream: Duplex) => String((await once(stream, 'error'))[0]);

test('it greets with zeros for a whole frame, and repeats its hello until it is answered', async (t) => {
  const agent = await startFakeAgent(t);
  const channel = new AgentChannel(agent.path, silentLog);
  t.after(() => channel.close());
  const side = await agent.accept();
  const hellos = () => side.frames.filter(({ type }) => type === FRAME.hello);
  await until(() => hellos().length >= 2);
  assert.equal(side.padding, HEADER_BYTES + PAYLOAD_BYTES_MAX);
  assert.deepEqual(hellos()[0]?.payload, hellos()[1]?.payload, 'with the same nonce');
  assert.equal(channel.connected, false);
  assert.throws(() => channel.open(), { code: 'AGENT_UNREACHABLE' });
  await side.greet();
  await channel.ready(soon());
  assert.equal(channel.connected, true);
  const answered = hellos().length;
  await pause(1_500);
  assert.equal(hellos().length, answered);
});

test('what comes before the answer to its hello is skipped, however it is split', async (t) => {
  const agent = await startFakeAgent(t);
  const channel = new AgentChannel(agent.path, silentLog);
  t.after(() => channel.close());
  const side = await agent.accept();
  const { payload } = await side.frame(({ type }) => type === FRAME.hello);
  const nonce = payload.subarray(8);
  const garbage = [
    randomBytes(100_000),
    encodeFrame(FRAME.helloAck, 0, randomBytes(16)),
    encodeFrame(FRAME.data, 1, randomBytes(500)).subarray(0, 300),
    encodeFrame(FRAME.helloAck, 0, nonce).subarray(0, 23),
  ];
  for (const piece of garbage) side.socket.write(piece);
  for (const byte of encodeFrame(FRAME.helloAck, 0, nonce)) {
    side.socket.write(Uint8Array.of(byte));
    await pause(0);
  }
  await channel.ready(soon());
  const { stream, number } = await opened({ channel, agent, side });
  for (const byte of encodeFrame(FRAME.data, number, Buffer.from('in step'))) {
    side.socket.write(Uint8Array.of(byte));
    await pause(0);
  }
  assert.equal(String((await once(stream, 'data'))[0]), 'in step');
});

test('a writer stops when the agent has no more room, and continues when it has', async (t) => {
  const all = await connected(t);
  const { stream, number } = await opened(all);
  const { side } = all;
  const body = randomBytes(300_000);
  let written = false;
  stream.write(body, () => {
    written = true;
  });
  assert.equal(await settled(() => side.dataOf(number).length), WINDOW_BYTES);
  side.sendWindow(number, 1000);
  await until(() => side.dataOf(number).length === WINDOW_BYTES + 1000);
  assert.equal(written, false);
  while (!written) {
    const missing = body.length - side.dataOf(number).length;
    const taken = side.dataOf(number).length;
    side.sendWindow(number, Math.min(WINDOW_BYTES, missing));
    await until(() => written || side.dataOf(number).length > taken);
  }
  // Written is what the socket took; it arrives a moment later.
  await until(() => side.dataOf(number).length === body.length);
  assert.ok(side.dataOf(number).equals(body));
  assert.ok(side.frames.every(({ payload }) => payload.length <= PAYLOAD_BYTES_MAX));
});

test('a reader that does not read gives no credit; one that reads gives back what it took', async (t) => {
  const all = await connected(t);
  const { stream, number } = await opened(all);
  const { side } = all;
  // As much as it may, until it may no more.
  let sent = 0;
  for (;;) {
    const allowed = WINDOW_BYTES + (await settled(() => side.creditOf(number))) - sent;
    if (allowed === 0) break;
    side.sendData(number, Buffer.alloc(allowed, 'x'));
    sent += allowed;
    assert.ok(sent <= 4 * WINDOW_BYTES, 'what nobody reads is bounded');
  }
  let received = 0;
  stream.on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
  await until(() => received === sent);
  await until(() => side.creditOf(number) > sent - WINDOW_BYTES / 4);
  assert.ok(side.creditOf(number) <= sent);
});

test('an agent that sends more than it may, or gives credit for nothing, loses the stream', async (t) => {
  const all = await connected(t);
  const { side } = all;
  const flooded = await opened(all);
  const flood = errorOf(flooded.stream);
  side.sendData(flooded.number, Buffer.alloc(2 * WINDOW_BYTES));
  assert.match(await flood, /more than it may/);
  const credited = await opened(all);
  const credit = errorOf(credited.stream);
  side.sendWindow(credited.number, 1);
  assert.match(await credit, /credit for what it never got/);
  for (const { number } of [flooded, credited]) {
    await side.frame(({ type, stream }) => type === FRAME.reset && stream === number);
  }
  const other = await opened(all);
  side.send(FRAME.data, other.number, 'others go on');
  assert.equal(String((await once(other.stream, 'data'))[0]), 'others go on');
});

test('each side ends for itself, and a reset breaks the stream', async (t) => {
  const all = await connected(t);
  const { side } = all;
  const half = await opened(all);
  half.stream.end('question');
  await side.frame(({ type, stream }) => type === FRAME.end && stream === half.number);
  assert.equal(side.dataOf(half.number).toString(), 'question');
  side.send(FRAME.data, half.number, 'answer');
  side.send(FRAME.end, half.number);
  assert.equal((await half.stream.toArray()).join(''), 'answer');
  await until(() => half.stream.closed);
  const isReset = (number: number) =>
    side.frames.some(({ type, stream }) => type === FRAME.reset && stream === number);
  assert.equal(isReset(half.number), false, 'both sides have ended');

  const reset = await opened(all);
  const error = errorOf(reset.stream);
  side.send(FRAME.reset, reset.number);
  assert.match(await error, /the agent reset the stream/);
  const left = await opened(all);
  left.stream.destroy();
  await until(() => isReset(left.number));
  assert.equal(isReset(reset.number), false, 'the agent knows');
});

test('88 streams at once carry each its own; one more is refused until one has gone', async (t) => {
  const all = await connected(t);
  const { side, channel } = all;
  const streams = [];
  for (let index = 0; index < 88; index += 1) streams.push(await opened(all));
  assert.throws(() => channel.open(), { code: 'OVERLOADED' });
  const received = streams.map(() => [] as Buffer[]);
  for (const [index, { stream }] of streams.entries()) {
    stream.on('data', (chunk) => received[index]?.push(chunk));
  }
  const bodies = streams.map(() => randomBytes(40_000));
  for (let at = 0; at < 40_000; at += 1_000) {
    for (const [index, { number }] of streams.entries()) {
      side.sendData(number, bodies[index]?.subarray(at, at + 1_000) ?? Buffer.alloc(0));
    }
  }
  for (const [index, body] of bodies.entries()) {
    await until(() => Buffer.concat(received[index] ?? []).length === body.length);
    assert.ok(Buffer.concat(received[index] ?? []).equals(body), `stream ${index}`);
  }
  assert.equal(new Set(streams.map(({ number }) => number)).size, 88);
  streams[7]?.stream.destroy();
  await opened(all);
  assert.throws(() => channel.open(), { code: 'OVERLOADED' });
});

test('after a hang-up its streams break, and it connects again with another nonce', async (t) => {
  const all = await connected(t);
  const { agent, side, channel } = all;
  const first = side.frames.find(({ type }) => type === FRAME.hello)?.payload;
  const { stream } = await opened(all);
  const broken = errorOf(stream);
  // In the middle of a frame.
  side.socket.end(encodeFrame(FRAME.data, 1, randomBytes(100)).subarray(0, 50));
  assert.match(await broken, /channel to the agent was lost/);
  assert.equal(channel.connected, false);
  const again = await agent.accept();
  const nonce = await again.greet();
  await channel.ready(soon());
  assert.notDeepEqual(nonce, first?.subarray(8));
  const { stream: next, number } = await opened({ ...all, side: again });
  again.send(FRAME.data, number, 'here again');
  assert.equal(String((await once(next, 'data'))[0]), 'here again');
});

test('an agent that speaks something else is left and tried again; others do not notice', async (t) => {
  const all = await connected(t);
  const { agent, side, channel } = all;
  const left = once(side.socket, 'close');
  side.socket.write(Buffer.from([FRAME.data, 0, 0xff, 0xff, 1, 0, 0, 0]));
  await left;
  await (await agent.accept()).greet();
  await channel.ready(soon());
});

test('frames of unknown types, for unknown streams and after the end of one are ignored', async (t) => {
  const all = await connected(t);
  const { side } = all;
  const { stream, number } = await opened(all);
  for (const type of [0, 3, 8, 99, 255]) side.send(type, number, 'x');
  for (const type of [FRAME.data, FRAME.window, FRAME.end, FRAME.reset]) {
    side.send(type, 4_000_000_000, 'xxxx');
  }
  side.send(FRAME.window, number, 'too long for credit');
  side.send(FRAME.data, number, 'good');
  side.send(FRAME.end, number);
  assert.equal((await stream.toArray()).join(''), 'good');
  const late = await opened(all);
  const ended = errorOf(late.stream);
  side.socket.write(
    Buffer.concat([
      encodeFrame(FRAME.end, late.number),
      encodeFrame(FRAME.data, late.number, Buffer.from('after the end')),
    ]),
  );
  assert.match(await ended, /data behind their end/);
  assert.equal(all.channel.connected, true);
});

test('an agent that answers strangely makes requests fail, not the daemon', async (t) => {
  const { channel, side } = await connected(t);
  const good = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}';
  const cases: [name: string, type: number, text: string][][] = [
    [['reset at once', FRAME.reset, '']],
    [['end at once', FRAME.end, '']],
    [['no HTTP', FRAME.data, `${'\0'.repeat(100)}\r\n\r\n`]],
    [
      ['a body that is cut', FRAME.data, good.slice(0, -1)],
      ['', FRAME.end, ''],
    ],
    [
      ['more after a good answer', FRAME.data, good],
      ['', FRAME.data, good],
      ['', FRAME.end, ''],
      ['', FRAME.data, 'x'],
      ['', FRAME.reset, ''],
    ],
    [
      ['too long', FRAME.data, good.replace('2', '9999999')],
      ...Array(30).fill(['', FRAME.data, 'x'.repeat(4000)]),
    ],
  ];
  for (const [index, frames] of cases.entries()) {
    const asked = ask(channel, { method: 'GET', path: `/case-${index}` }, soon());
    const seen = asked.then(
      ({ status }) => status,
      () => 'failed',
    );
    const { stream } = await side.frame(
      ({ type, payload }) => type === FRAME.data && payload.includes(`/case-${index} `),
    );
    side.socket.cork();
    for (const [, type, text] of frames) side.send(type, stream, text);
    side.socket.uncork();
    const result = await seen;
    assert.ok(result === 'failed' || index === 4, `${frames[0]?.[0]}: ${result}`);
  }
  await settled(() => side.frames.length);
  assert.equal(channel.connected, true);
});

test('a manifest is sent again when the channel is lost before its answer', async (t) => {
  const agent = await startFakeAgent(t);
  const connection = createAgentConnection(agent.path, silentLog);
  t.after(() => connection.close());
  const sending = connection.sendManifest('{"a manifest": true}', soon());
  const isPut = ({ payload }: { payload: Buffer }) => payload.includes('PUT /agent/manifest ');
  const first = await agent.accept();
  await first.greet();
  await first.frame(isPut);
  first.socket.destroy();
  const second = await agent.accept();
  await second.greet();
  const { stream } = await second.frame(isPut);
  await until(() => second.dataOf(stream).includes('{"a manifest": true}'));
  second.send(FRAME.data, stream, 'HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n');
  await sending;
});

test('requests that wait fail when the channel is closed, and none waits for a closed one', async (t) => {
  const agent = await startFakeAgent(t);
  const channel = new AgentChannel(agent.path, silentLog);
  await agent.accept();
  const aborting = new AbortController();
  const aborted = assert.rejects(channel.ready(aborting.signal), /given up/);
  aborting.abort(new Error('given up'));
  await aborted;
  const waiting = assert.rejects(channel.ready(soon()), /is closed/);
  channel.close();
  await waiting;
  await assert.rejects(channel.ready(soon()), /is closed/);
  assert.throws(() => channel.open(), { code: 'AGENT_UNREACHABLE' });
});
