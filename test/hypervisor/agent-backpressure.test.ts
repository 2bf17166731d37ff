// What is sent towards a guest that does not read: its producers wait, or get an error, and the daemon holds a bounded amount
// for as long as that lasts.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { AgentChannel } from '../../src/hypervisor/agent-channel.ts';
import { FRAME, HEADER_BYTES, WINDOW_BYTES } from '../../src/hypervisor/agent-frames.ts';
import { silentLog } from '../engine/fakes.ts';
import { startFakeAgent } from './fake-agent.ts';

/** What the kernel keeps of a unix socket, some times over: beyond it the daemon itself would hold what is written. */
const KERNEL_BYTES = 512 * 1024;
/** What the channel may hold: its bound, and the ends of streams. */
const HELD_BYTES = 80 * 1024;
const ROUNDS = 20_000;

async function greeted(t: TestContext) {
  const fake = await startFakeAgent(t);
  const channel = new AgentChannel(fake.path, silentLog);
  t.after(() => channel.close());
  const side = await fake.accept();
  await side.greet();
  await channel.ready(AbortSignal.timeout(10_000));
  return { channel, side };
}

test('a guest that never reads is sent no more than the bound, however often it is asked', async (t) => {
  const { channel, side } = await greeted(t);
  side.socket.pause();
  let opened = 0;
  let refused = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    try {
      const stream = channel.open();
      opened += 1;
      stream.write(Buffer.alloc(256));
      stream.destroy();
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'AGENT_UNREACHABLE');
      refused += 1;
    }
    if (round % 500 === 0) await pause(1);
  }
  assert.ok(refused > 0, 'a guest that does not read is not asked any more');
  assert.ok(opened * HEADER_BYTES * 3 < 2 * KERNEL_BYTES, `${opened} streams were opened`);
  assert.ok(channel.unreadBytes <= HELD_BYTES, `${channel.unreadBytes} bytes are held`);
  // It wakes up, and all is as before.
  side.socket.resume();
  while (channel.full) await pause(5);
  const stream = channel.open();
  stream.write('hello');
  const { stream: number } = await side.frame(({ payload }) => payload.toString() === 'hello');
  side.send(FRAME.data, number, 'you');
  assert.equal(String((await once(stream, 'data'))[0]), 'you');
});

test('data waits while the guest does not read, and arrives whole and in order when it does', async (t) => {
  const { channel, side } = await greeted(t);
  const streams = Array.from({ length: 30 }, () => channel.open());
  await side.frame(({ type, stream }) => type === FRAME.open && stream === streams.length);
  side.socket.pause();
  const body = Buffer.from(Array.from({ length: WINDOW_BYTES }, (_, index) => index % 251));
  for (const stream of streams) stream.write(body);
  await pause(50);
  assert.ok(channel.unreadBytes <= HELD_BYTES, `${channel.unreadBytes} bytes are held`);
  side.socket.resume();
  for (const [index] of streams.entries()) {
    while (side.dataOf(index + 1).length < body.length) await pause(5);
    assert.ok(side.dataOf(index + 1).equals(body), `stream ${index + 1}`);
  }
});

test('a guest that talks and never reads is given credit up to the bound only', async (t) => {
  const { channel, side } = await greeted(t);
  const stream = channel.open();
  stream.resume();
  stream.on('error', () => undefined);
  await side.frame(({ type }) => type === FRAME.open);
  side.socket.pause();
  // It sends as though all credit had come, which a guest can guess.
  const piece = Buffer.alloc(WINDOW_BYTES / 4);
  for (let round = 0; round < 3000 && !stream.destroyed; round += 1) {
    side.sendData(1, piece);
    if (side.socket.writableNeedDrain) await once(side.socket, 'drain');
    if (round % 100 === 0) await pause(1);
  }
  assert.ok(channel.unreadBytes <= HELD_BYTES, `${channel.unreadBytes} bytes are held`);
});

test('an error of a stream that nobody listens to ends that stream alone', async (t) => {
  const { channel, side } = await greeted(t);
  const lonely = channel.open();
  const other = channel.open();
  await side.frame(({ type, stream }) => type === FRAME.open && stream === 2);
  side.send(FRAME.reset, 1);
  // `once` would listen to the error as well.
  await new Promise<void>((resolve) => lonely.once('close', resolve));
  side.send(FRAME.data, 2, 'still here');
  assert.equal(String((await once(other, 'data'))[0]), 'still here');
});
