// What daemon and agent rely on in each other: the daemon's channel and the agent's, joined by a socket
// in the place of the virtio-serial port.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { AgentChannel } from '../../src/hypervisor/agent-channel.ts';
import { ask } from '../../src/hypervisor/agent-client.ts';
import {
  encodeFrame,
  encodeGreeting,
  encodeHello,
  FRAME,
  type Frame,
  FrameParser,
} from '../../src/hypervisor/agent-frames.ts';
import { shareHostAgent, startHostAgent } from './programs.ts';
import { httpServer, listening, manifestFor, NO_LOG, serveAgent, soon } from './served-agent.ts';

let program = '';
const hashOf = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

/** A host that writes what the test wants. */
async function rawHost(t: TestContext, path: string): Promise<Socket> {
  const socket = connect(path).on('error', () => undefined);
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** Greets, and collects the frames that return. */
async function greeted(socket: Socket, greeting = encodeGreeting): Promise<Frame[]> {
  const nonce = randomBytes(16);
  const parser = new FrameParser(nonce);
  const frames: Frame[] = [];
  socket.on('data', (chunk) => frames.push(...(parser.push(chunk) ?? [])));
  socket.write(greeting(nonce));
  const signal = soon();
  while (!parser.inStep) {
    signal.throwIfAborted();
    await pause(1);
  }
  return frames;
}

async function until(condition: () => boolean): Promise<void> {
  const signal = soon();
  while (!condition()) {
    signal.throwIfAborted();
    await pause(2);
  }
}

/** Processor time of a process in ticks of 10 ms. */
function ticksOf(pid: number | undefined): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

suite('channel between daemon and agent', () => {
  shareHostAgent((path) => {
    program = path;
  });

  test('large bodies go through many streams at once, both ways', async (t) => {
    const server = await listening(
      t,
      httpServer((incoming, answer) => incoming.pipe(answer)),
    );
    const { ask: askAgent, channel } = await serveAgent(t, program);
    await askAgent('PUT', '/agent/manifest', manifestFor(server));
    const echo = async (body: Buffer) => {
      const outgoing = request({
        method: 'POST',
        path: '/v1/echo',
        headers: { 'Content-Length': body.length },
        createConnection: () => channel.open(),
      });
      outgoing.end(body);
      const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
      const hash = createHash('sha256');
      for await (const chunk of incoming) hash.update(chunk);
      return hash.digest('hex');
    };
    for (let round = 0; round < 3; round += 1) {
      const bodies = Array.from({ length: 24 }, (_, index) => randomBytes(300_000 + index));
      assert.deepEqual(await Promise.all(bodies.map(echo)), bodies.map(hashOf));
    }
  });

  test('a reader that stands still holds back its own stream only, and nobody spins meanwhile', async (t) => {
    const body = randomBytes(1_000_000);
    const server = await listening(
      t,
      httpServer((_, answer) => answer.end(body)),
    );
    const agent = await serveAgent(t, program);
    await agent.ask('PUT', '/agent/manifest', manifestFor(server));
    const stalled = Array.from({ length: 8 }, (_, index) => {
      const stream = agent.channel.open();
      // Some workloads end before their answer was taken.
      stream.write(`GET /v1/${index} HTTP/1.1\r\n\r\n`);
      return stream;
    });
    await pause(500);
    assert.equal((await agent.ask('GET', '/healthz')).status, 200);
    const before = ticksOf(agent.process.pid);
    await pause(1_000);
    assert.ok(ticksOf(agent.process.pid) - before < 50, 'it waits without work');
    for (const stream of stalled) {
      const text = Buffer.concat(await stream.toArray());
      assert.ok(text.subarray(-body.length).equals(body));
      // Reading to the end does not end our side, with Node 24.
      stream.destroy();
    }
  });

  test('a host that comes in the middle of another’s frame finds into step', async (t) => {
    const { socketPath, process: child } = await startHostAgent(t, program);
    const beginnings = [
      encodeFrame(FRAME.data, 1, Buffer.alloc(4096, 'x')).subarray(0, 9),
      encodeFrame(FRAME.data, 1, Buffer.alloc(4096, 'x')).subarray(0, 4103),
      encodeFrame(FRAME.open, 7).subarray(0, 5),
      Buffer.from([FRAME.window, 0]),
      encodeHello(randomBytes(16)).subarray(0, 20),
    ];
    for (const beginning of beginnings) {
      const former = await rawHost(t, socketPath);
      await greeted(former);
      former.write(encodeFrame(FRAME.open, 1));
      former.write(beginning);
      const next = new AgentChannel(socketPath, NO_LOG);
      await next.ready(soon());
      const { status } = await ask(next, { method: 'GET', path: '/agent/info' }, soon());
      assert.equal(status, 200);
      next.close();
    }
    assert.equal(child.exitCode, null);
  });

  test('after any noise a greeting is answered', async (t) => {
    const { socketPath } = await startHostAgent(t, program);
    for (let round = 0; round < 150; round += 1) {
      const socket = await rawHost(t, socketPath);
      // In step or not, a frame that looks good or bytes that look like none.
      if (round % 3 === 0) await greeted(socket);
      const noise = randomBytes(1 + ((round * 397) % 9000));
      if (round % 2 === 0) noise[0] = round % 8;
      if (round % 4 === 0) noise.fill(0, 2, Math.min(8, noise.length));
      socket.write(noise);
      await greeted(socket);
      socket.destroy();
    }
  });

  test('noise inside of good frames breaks their streams at most', async (t) => {
    const { socketPath } = await startHostAgent(t, program);
    const socket = await rawHost(t, socketPath);
    const frames = await greeted(socket);
    for (let round = 0; round < 2_000; round += 1) {
      const type = FRAME.open + (round % 5);
      // Of 41 and 7, which share no divisor with the five types: every type meets every stream and length.
      const stream = 1 + ((round * 7) % 41);
      const length = [0, 1, 4, 33, 100, 1024, 4096][(round * 3) % 7] ?? 0;
      socket.write(encodeFrame(type, stream, randomBytes(length)));
    }
    await greeted(socket, encodeHello);
    assert.ok(frames.some(({ type }) => type === FRAME.reset || type === FRAME.end));
  });

  test('the stream after the last it has a place for is reset; a window that is overrun, too', async (t) => {
    const { socketPath } = await startHostAgent(t, program);
    const socket = await rawHost(t, socketPath);
    const frames = await greeted(socket);
    for (let stream = 1; stream <= 89; stream += 1) socket.write(encodeFrame(FRAME.open, stream));
    await until(() => frames.length > 0);
    assert.deepEqual(
      frames.map(({ type, stream }) => [type, stream]),
      [[FRAME.reset, 89]],
    );
    socket.write(encodeFrame(FRAME.reset, 5));
    socket.write(encodeFrame(FRAME.open, 90));
    socket.write(encodeFrame(FRAME.data, 90, Buffer.from('GET /healthz HTTP/1.1\r\n\r\n')));
    await until(() => frames.some(({ type, stream }) => type === FRAME.end && stream === 90));
    // Answered before the end of the line, so nothing is read any more.
    const line = Buffer.alloc(4096, 'x');
    for (let index = 0; index < 200; index += 1) socket.write(encodeFrame(FRAME.data, 1, line));
    await until(() => frames.some(({ type, stream }) => type !== FRAME.data && stream === 1));
    assert.ok(frames.every(({ payload }) => payload.length <= 4096));
  });
});
