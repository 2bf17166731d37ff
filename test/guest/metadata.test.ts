// What programs of a guest and the daemon rely on in the agent's metadata service: what is told, how a result gets to the daemon,
// and that nobody reaches one port through the other.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { before, suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { AgentConnection } from '../../src/engine/ports/hypervisor-ports.ts';
import { createAgentConnection } from '../../src/hypervisor/agent-client.ts';
import { GUEST_LIMITS } from '../../src/schema/rules/guest-limits.ts';
import { buildHostAgent, startHostAgent } from './programs.ts';
import { type Answer, exchange, get, NO_LOG, rawSocket, soon } from './served-agent.ts';

const { resultBytesMax, resultsBurstMax, metadataBytesMax } = GUEST_LIMITS;
const DOCUMENT = JSON.stringify({
  name: 'one',
  id: 7,
  labels: { tier: 'web', 'example.org/team': 'blue' },
  metadata: { ticket: 1.5, urgent: true, nested: { a: 1 }, none: null },
  ports: [{ port: 80, host_port: 8080, protocol: 'tcp' }],
});

let program = '';

interface Guest {
  /** Of the server that everybody reaches. */
  readonly port: number;
  readonly metadataPort: number;
  readonly socketPath: string;
  readonly agent: AgentConnection;
  /** How often a result was told of, or a connection made. */
  readonly told: () => number;
  ask(path: string, method?: string): Promise<Answer>;
  post(body: string | Buffer, type?: string): Promise<Answer>;
}

/** A port that is free now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function guestOf(t: TestContext): Promise<Guest> {
  const metadataPort = await freePort();
  const { port, socketPath } = await startHostAgent(t, program, metadataPort);
  const agent = createAgentConnection(socketPath, NO_LOG);
  t.after(() => agent.close());
  let told = 0;
  agent.onResult(() => {
    told += 1;
  });
  await agent.ready(soon());
  return {
    port,
    metadataPort,
    socketPath,
    agent,
    told: () => told,
    ask: (path, method = 'GET') => get(metadataPort, path, { method }),
    post: (body, type = 'text/plain') =>
      get(metadataPort, '/v1/result', {
        method: 'POST',
        headers: { 'Content-Type': type, 'Content-Length': String(Buffer.byteLength(body)) },
        body: [body],
      }),
  };
}

async function served(t: TestContext): Promise<Guest> {
  const guest = await guestOf(t);
  await guest.agent.sendMetadata(DOCUMENT, soon());
  return guest;
}

/** The result that waits. */
async function resultOf(agent: AgentConnection) {
  const signal = soon();
  for (;;) {
    const posted = await agent.postedResult(signal);
    if (posted !== null) return posted;
    await pause(5);
  }
}

/** Posts, has it settled, and returns the status that the client got. */
async function settled(guest: Guest, body: string, as: 'kept' | 'refused' | 'failed' = 'kept') {
  const answered = guest.post(body);
  const posted = await resultOf(guest.agent);
  await guest.agent.settleResult(posted.number, as, soon());
  return (await answered).status;
}

suite('metadata service of the agent', () => {
  before(() => {
    program = buildHostAgent();
  });

  test('nothing listens before the daemon has told anything', async (t) => {
    const { metadataPort, ask } = await guestOf(t);
    await assert.rejects(ask('/v1/vm'), { code: 'ECONNREFUSED' });
    const socket = connect(metadataPort, '127.0.0.1');
    const [error] = await once(socket, 'error');
    assert.equal(error.code, 'ECONNREFUSED');
  });

  test('all is told as JSON, and single members as texts', async (t) => {
    const { ask, agent } = await served(t);
    const whole = await ask('/v1/vm');
    assert.deepEqual(
      [whole.status, whole.headers['content-type'], whole.body.toString()],
      [200, 'application/json', DOCUMENT],
    );
    const textOf = async (path: string) => {
      const { status, body } = await ask(`/v1/vm/${path}`);
      return status === 200 ? body.toString() : status;
    };
    assert.equal(await textOf('name'), 'one');
    assert.equal(await textOf('name?x=1'), 'one');
    assert.equal(await textOf('id'), '7');
    assert.equal(await textOf('labels/tier'), 'web');
    assert.equal(await textOf('labels/example.org/team'), 'blue');
    assert.equal(await textOf('metadata/ticket'), '1.5');
    assert.equal(await textOf('metadata/urgent'), 'true');
    for (const path of ['', 'labels', 'ports', 'nosuch', 'metadata/nested', 'metadata/none']) {
      assert.equal(await textOf(path), 404, path);
    }
    assert.equal((await ask('/v1/vm', 'HEAD')).body.length, 0);
    assert.equal((await ask('/v1/vm', 'DELETE')).status, 404);
    assert.equal((await ask('/v1/vmx')).status, 404);
    await agent.sendMetadata(JSON.stringify({ name: 'two' }), soon());
    assert.equal(await textOf('name'), 'two', 'what is told anew replaces it');
    assert.equal(await textOf('id'), 404);
  });

  test('a document of the largest size is told whole', async (t) => {
    const { ask, agent } = await served(t);
    const value = 'x'.repeat(metadataBytesMax - '{"name":""}'.length);
    const largest = JSON.stringify({ name: value });
    await agent.sendMetadata(largest, soon());
    assert.ok((await ask('/v1/vm')).body.toString() === largest);
    assert.ok((await ask('/v1/vm/name')).body.toString() === value);
    await assert.rejects(agent.sendMetadata(`${largest} `, soon()), /answered 400/);
    assert.ok((await ask('/v1/vm')).body.toString() === largest, 'the earlier one stays');
  });

  test('a result is answered once the daemon has settled it', async (t) => {
    const guest = await served(t);
    const { agent, post, told } = guest;
    assert.equal(await agent.postedResult(soon()), null);
    const before = told();
    const answered = post('{"words":42}', 'Application/JSON; charset=utf-8');
    const posted = await resultOf(agent);
    assert.deepEqual([posted.isJson, posted.bytes.toString()], [true, '{"words":42}']);
    assert.ok(told() > before, 'the daemon was told');
    const early = await post('another');
    assert.deepEqual([early.status, early.headers['retry-after']], [429, '1'], 'one at a time');
    await agent.settleResult(posted.number + 1, 'kept', soon());
    assert.deepEqual(await agent.postedResult(soon()), posted, 'another number settles nothing');
    await agent.settleResult(posted.number, 'kept', soon());
    assert.equal((await answered).status, 204);
    assert.equal(await agent.postedResult(soon()), null);
    assert.equal(await settled(guest, 'a', 'refused'), 400);
    assert.equal(await settled(guest, 'b', 'failed'), 503);
  });

  test('a result of the largest size goes through byte for byte, a larger one is refused', async (t) => {
    const { agent, post, metadataPort } = await served(t);
    const bytes = Buffer.alloc(resultBytesMax, '\0\n\xff', 'latin1');
    const answered = post(bytes, 'application/octet-stream');
    const posted = await resultOf(agent);
    assert.ok(!posted.isJson && posted.bytes.equals(bytes));
    await agent.settleResult(posted.number, 'kept', soon());
    assert.equal((await answered).status, 204);
    assert.equal((await post(Buffer.alloc(resultBytesMax + 1))).status, 413);
    assert.equal((await post('')).status, 400);
    const chunked = await get(metadataPort, '/v1/result', { method: 'POST', body: ['a', 'b'] });
    assert.equal(chunked.status, 411);
    const two = 'Content-Length: 1\r\nContent-Length: 2\r\n';
    const unclear = `POST /v1/result HTTP/1.1\r\nHost: a\r\n${two}\r\na`;
    assert.match(await exchange(t, metadataPort, unclear), /^HTTP\/1\.1 400 /);
  });

  test('many results in a row are held back', async (t) => {
    const guest = await served(t);
    for (let count = 0; count < resultsBurstMax; count += 1) {
      assert.equal(await settled(guest, `number ${count}`), 204);
    }
    const late = await guest.post('one more');
    assert.equal(late.status, 429);
    const seconds = Number(late.headers['retry-after']);
    assert.ok(seconds >= 1 && seconds <= 10, `${seconds}`);
    assert.equal(await guest.agent.postedResult(soon()), null);
  });

  test('a result outlives the daemon that did not take it, and a client that leaves', async (t) => {
    const { agent, post, socketPath, metadataPort } = await served(t);
    agent.close();
    const answered = post('kept by the next one');
    const next = createAgentConnection(socketPath, NO_LOG);
    t.after(() => next.close());
    await next.ready(soon());
    const posted = await resultOf(next);
    assert.equal(posted.bytes.toString(), 'kept by the next one');
    await next.settleResult(posted.number, 'kept', soon());
    assert.equal((await answered).status, 204);
    const socket = await rawSocket(t, metadataPort);
    socket.write('POST /v1/result HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\ngone');
    const { number } = await resultOf(next);
    socket.destroy();
    await next.settleResult(number, 'kept', soon());
    assert.equal(await next.postedResult(soon()), null);
  });

  test('neither port has what the other one serves', async (t) => {
    const { port, metadataPort, ask, agent } = await served(t);
    for (const path of ['/healthz', '/v1/logs/stream', '/agent/info', '/agent/result', '/v1']) {
      assert.equal((await ask(path)).status, 404, path);
    }
    for (const path of ['/v1/vm', '/v1/result', '/agent/metadata', '/agent/result']) {
      const { status } = await get(port, path);
      assert.ok(status === 404 || status === 502, `${path}: ${status}`);
    }
    const target = { protocol: 'tcp', port: metadataPort } as const;
    await assert.rejects(agent.connect(target, soon()), /answered 403/);
  });

  test('clients that do nothing keep nobody else out', async (t) => {
    const { metadataPort, port } = await served(t);
    const idle = await Promise.all(Array.from({ length: 150 }, () => rawSocket(t, metadataPort)));
    // The kernel tells a client that was never accepted only when it sends.
    for (const socket of idle) socket.write('G');
    // Those beyond the bound are closed at once; what they had sent may make that a reset.
    const isClosed = (socket: Socket) =>
      socket.closed || new Promise((end) => socket.once('close', end));
    await Promise.all(idle.slice(20).map(isClosed));
    assert.equal((await get(port, '/healthz')).status, 200, 'the agent itself answers');
  });
});
