// What the engine relies on when it hands out streams to an agent: clients cannot take the last ones,
// and a stream breaks when its channel does.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../src/config/limits.ts';
import type { AgentConnection } from '../../src/engine/ports/hypervisor-ports.ts';
import { createAgentConnection } from '../../src/hypervisor/agent-client.ts';
import { encodeFrame, FRAME, FrameParser, NONCE_BYTES } from '../../src/hypervisor/agent-frames.ts';
import { silentLog } from '../engine/fakes.ts';

/** An agent that greets, and answers about health without ever ending a stream. */
async function connected(t: TestContext): Promise<{ agent: AgentConnection; socket: Socket }> {
  const directory = mkdtempSync(join(tmpdir(), 'volant-agent-'));
  const path = join(directory, 'agent.sock');
  const server = createServer();
  server.listen(path);
  await once(server, 'listening');
  const agent = createAgentConnection(path, silentLog);
  t.after(() => {
    agent.close();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const [socket] = (await once(server, 'connection')) as [Socket];
  t.after(() => socket.destroy());
  let received = Buffer.alloc(0);
  const magic = Buffer.from('VOLANT01');
  while (!received.includes(magic) || received.length < received.indexOf(magic) + 24) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    received = Buffer.concat([received, chunk]);
  }
  const at = received.indexOf(magic) + magic.length;
  const nonce = received.subarray(at, at + NONCE_BYTES);
  answerHealth(socket, new FrameParser(nonce), nonce);
  socket.write(encodeFrame(FRAME.helloAck, 0, nonce));
  await agent.ready(AbortSignal.timeout(60_000));
  return { agent, socket };
}

function answerHealth(socket: Socket, parser: FrameParser, nonce: Buffer): void {
  // The parser is the host's: it wants to see the acknowledgement first.
  parser.push(encodeFrame(FRAME.helloAck, 0, nonce));
  const body = '{"workload": {"state": "running", "healthy": true}}';
  const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  socket.on('data', (chunk) => {
    for (const { type, stream, payload } of parser.push(chunk) ?? []) {
      if (type !== FRAME.data || !payload.includes('GET /healthz')) continue;
      socket.write(encodeFrame(FRAME.data, stream, Buffer.from(answer)));
    }
  });
}

test('clients can have so many streams; the daemon itself can still ask', async (t) => {
  const { agent } = await connected(t);
  const open = () => agent.open().on('error', () => undefined);
  const streams = Array.from({ length: LIMITS.agentStreamsMax }, open);
  assert.throws(() => agent.open(), { code: 'OVERLOADED' });
  const { state, healthy } = await agent.health(AbortSignal.timeout(60_000));
  assert.deepEqual({ state, healthy }, { state: 'running', healthy: true });
  streams[0]?.destroy();
  open();
});

test('connections to host ports and requests do not take each other’s place', async (t) => {
  const { agent } = await connected(t);
  const target = { protocol: 'tcp', port: 80 } as const;
  const aborted = new AbortController();
  t.after(() => aborted.abort(new Error('the test is over')));
  const connecting = Array.from({ length: LIMITS.agentTunnelsMax }, () =>
    agent.connect(target, aborted.signal).catch(() => undefined),
  );
  await assert.rejects(agent.connect(target, aborted.signal), { code: 'OVERLOADED' });
  agent.open().on('error', () => undefined);
  assert.equal((await agent.health(AbortSignal.timeout(60_000))).healthy, true);
  aborted.abort(new Error('enough'));
  await Promise.all(connecting);
  const again = agent.connect(target, AbortSignal.any([]));
  again.catch(() => undefined);
  assert.equal(await Promise.race([again.catch(() => 'refused'), pause(1, 'waits')]), 'waits');
});

test('a stream breaks when its channel is lost, and none is given out until it is back', async (t) => {
  const { agent, socket } = await connected(t);
  const stream = agent.open();
  const broken = once(stream, 'error');
  socket.destroy();
  assert.match(String((await broken)[0]), /channel to the agent was lost/);
  assert.equal(agent.connected, false);
  assert.throws(() => agent.open(), { code: 'AGENT_UNREACHABLE' });
});
