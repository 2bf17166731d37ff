// http, mcp: tools for the inside of a VM: requests, actions, logs, consoles. The guest is fake. Each stream to it must
// have ended when the answer is sent, and when the client no longer waits.

import assert from 'node:assert/strict';
import type { IncomingMessage, RequestListener } from 'node:http';
import { type Duplex, duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { eventually, inTime } from '../harness.ts';
import { type Served, serve, until } from '../served.ts';
import { type Client, type Json, legacyClient } from './mcp-clients.ts';

interface Guest {
  readonly served: Served;
  readonly client: Client;
  /** What a tool answers; its error where it fails. */
  call(tool: string, args: Record<string, unknown>): Promise<Json>;
}

async function guestWith(t: TestContext, agent: RequestListener): Promise<Guest> {
  const served = await serve(t, { agent });
  const client = await legacyClient(t, served);
  // The client holds results against the schemas that it has read.
  await client.listTools();
  const call = async (tool: string, args: Record<string, unknown>) => {
    const name = `volant.vms.${tool}`;
    return (await client.callTool({ name, arguments: { name: 'one', ...args } })).structuredContent;
  };
  return { served, client, call };
}

async function bytesOf(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

test('a request reaches the workload as it was made, and its answer returns', async (t) => {
  const { served, call } = await guestWith(t, async (incoming, answer) => {
    const body = await bytesOf(incoming);
    const { 'x-mine': mine, 'x-volant-api-key': key, 'x-request-id': id } = incoming.headers;
    answer.writeHead(418, { 'Content-Type': 'application/json', 'Set-Cookie': 'a=1' });
    answer.end(
      JSON.stringify({
        line: `${incoming.method} ${incoming.url}`,
        mine,
        key,
        id,
        hex: body.toString('hex'),
      }),
    );
  });
  const posted = await call('request', {
    method: 'POST',
    path: '/things?limit=2',
    headers: { 'X-Mine': 'yes', 'X-Volant-API-Key': 'secret', 'Content-Length': '1' },
    body: 'AP8=',
    body_encoding: 'base64',
  });
  assert.equal(posted.status, 418);
  assert.equal(posted.complete, true);
  assert.equal(posted.headers['content-type'], 'application/json');
  assert.equal(posted.headers['set-cookie'], undefined);
  const { id, ...seen } = JSON.parse(posted.body);
  assert.match(id, /\w/);
  assert.deepEqual(seen, { line: 'POST /v1/things?limit=2', mine: 'yes', hex: '00ff' });
  await until(() => served.agentStreams.size === 0);
});

test('an answer of bytes is base64, a long one is truncated, and a character is not split', async (t) => {
  const { call } = await guestWith(t, (incoming, answer) => {
    if (incoming.url === '/v1/bytes') answer.end(Buffer.from([0, 255]));
    else answer.end('äöü'.repeat(100_000));
  });
  const bytes = await call('request', { path: '/bytes' });
  assert.deepEqual([bytes.body, bytes.body_encoding], ['AP8=', 'base64']);
  const cut = await call('request', { path: '/', answer_bytes: 5 });
  assert.deepEqual([cut.body, cut.body_encoding, cut.complete], ['äö', 'text', false]);
  const byDefault = await call('request', { path: '/' });
  assert.equal(Buffer.byteLength(byDefault.body), LIMITS.mcpAnswerBytes);
});

test('what never ends is answered with what has come, and what never begins with an error', async (t) => {
  const { served, call } = await guestWith(t, (incoming, answer) => {
    if (incoming.url === '/v1/events') answer.write('data: 1\n\n');
  });
  const events = await call('request', { path: '/events', timeout: 200 });
  assert.deepEqual([events.body, events.complete], ['data: 1\n\n', false]);
  const nothing = await call('request', { path: '/silence', timeout: 100 });
  assert.equal(nothing.code, 'AGENT_UNREACHABLE');
  await until(() => served.agentStreams.size === 0);
});

test('a redirect is reported as a path of the workload, or as none to follow', async (t) => {
  const { call } = await guestWith(t, (incoming, answer) => {
    const to = incoming.url === '/v1/in' ? '/next?a=1' : 'http://elsewhere.test/';
    answer.writeHead(302, { Location: to }).end();
  });
  assert.equal((await call('request', { path: '/in' })).headers.location, '/next?a=1');
  const out = await call('request', { path: '/out' });
  assert.equal(out.headers.location, undefined);
  assert.equal(out.headers['x-volant-location'], 'http://elsewhere.test/');
});

test('what cannot be sent is refused before anything is sent', async (t) => {
  let asked = 0;
  const { call } = await guestWith(t, (_incoming, answer) => {
    asked += 1;
    answer.end();
  });
  const wrong: [Record<string, unknown>, string][] = [
    [{ path: 'http://other.test/' }, 'path'],
    [{ path: '/a/../../agent/poweroff' }, 'path'],
    [{ path: '/a/%2e%2e/b' }, 'path'],
    [{ path: '/a b' }, 'path'],
    [{ path: '/', method: 'CONNECT' }, 'method'],
    [{ path: '/', headers: { 'a b': 'c' } }, 'headers.a b'],
    [{ path: '/', headers: { a: 'b\r\nc: d' } }, 'headers.a'],
    [{ path: '/', body: '*', body_encoding: 'base64' }, 'body'],
    [{ path: '/', body: 'ä'.repeat(LIMITS.mcpGuestBodyBytesMax) }, 'body'],
    [{ path: '/', timeout: 1e9 }, 'timeout'],
  ];
  for (const [args, argument] of wrong) {
    const { code, details } = await call('request', args);
    assert.deepEqual([code, Object.keys(details)], ['BODY_INVALID', [argument]], argument);
  }
  assert.equal(asked, 0);
});

test('a client that goes away ends its request to the guest', async (t) => {
  const { served } = await guestWith(t, () => undefined);
  const gone = new AbortController();
  const body = JSON.stringify({
    command: 'volant.vms.request',
    params: { name: 'one', path: '/silence' },
  });
  const asked = fetch(`${served.url}/api/v1/mcp`, { method: 'POST', body, signal: gone.signal });
  await until(() => served.agentStreams.size === 1);
  gone.abort();
  await assert.rejects(asked);
  await eventually(() => served.agentStreams.size === 0, 'the end of the stream');
});

test('an action answers what the workload said, and its refusal is an error', async (t) => {
  const { served, client } = await guestWith(t, async (incoming, answer) => {
    const body = (await bytesOf(incoming)).toString();
    if (incoming.url === '/v1/greet') answer.end(`{"got": ${body}}`);
    else if (incoming.url === '/v1/quiet') answer.end();
    else answer.writeHead(409).end('{"error": "not now"}');
  });
  const post = (path: string) => ({ method: 'POST', path });
  const actions = { greet: post('/greet'), quiet: post('/quiet'), refuse: post('/no') };
  await served.engine.plugins.install({
    ...served.engine.plugins.get('hello'),
    name: 'mine',
    actions,
  });
  await served.engine.vms.create({ name: 'two', plugin: 'mine' });
  const run = async (args: Record<string, unknown>) => {
    const call = { name: 'volant.vms.action', arguments: { name: 'two', ...args } };
    return (await client.callTool(call)).structuredContent;
  };
  assert.deepEqual(await run({ action: 'greet', body: { a: 1 } }), {
    status: 200,
    answer: { got: { a: 1 } },
  });
  assert.deepEqual(await run({ action: 'quiet', plugin: 'mine' }), { status: 200, answer: null });
  const refused = await run({ action: 'refuse' });
  assert.deepEqual(
    [refused.code, refused.error, refused.details],
    ['ACTION_FAILED', 'not now', { status: '409' }],
  );
  assert.equal((await run({ action: 'none' })).code, 'ACTION_NOT_FOUND');
});

/** The log of an agent: as many lines as there are, from the one that is asked for. */
function logOf(lines: string[], isNumbered = true): RequestListener {
  return (incoming, answer) => {
    const query = new URL(incoming.url ?? '', 'http://agent').searchParams;
    const tail = Number(query.get('tail') ?? Number.POSITIVE_INFINITY);
    const after = query.get('after');
    const first = after === null ? Math.max(0, lines.length - tail) : Number(after) + 1;
    answer.writeHead(200, { 'Content-Type': 'text/event-stream' }).write(': connected\n\n');
    for (const [index, line] of lines.entries()) {
      if (index < first) continue;
      const data = JSON.stringify({ stream: 'stdout', timestamp: 'now', line });
      answer.write(`${isNumbered ? `id: ${index}\n` : ''}data: ${data}\n\n`);
    }
  };
}

const texts = ({ lines }: Json) => lines.map(({ line }: Json) => line);

test('a log is read from its newest lines on, and continues where it was left', async (t) => {
  const written = Array.from({ length: 7 }, (_, index) => `line ${index}`);
  const { served, call } = await guestWith(t, logOf(written));
  const newest = await call('logs', { limit: 3 });
  assert.deepEqual(texts(newest), ['line 4', 'line 5', 'line 6']);
  assert.equal(newest.more, false);
  const nothing = await call('logs', { cursor: newest.cursor });
  assert.deepEqual([nothing.lines, nothing.cursor], [[], newest.cursor]);
  written.push('line 7', 'line 8', 'line 9');
  const next = await call('logs', { cursor: newest.cursor, limit: 2 });
  assert.deepEqual([texts(next), next.more], [['line 7', 'line 8'], true]);
  const rest = await call('logs', { cursor: next.cursor });
  assert.deepEqual([texts(rest), rest.more, rest.lost], [['line 9'], false, 0]);
  await until(() => served.agentStreams.size === 0);

  await served.engine.vms.stop('one');
  assert.equal((await call('logs', {})).code, 'VM_STATE_CONFLICT');
  await served.engine.vms.start('one');
  const again = await call('logs', { cursor: rest.cursor, limit: 1 });
  assert.deepEqual([texts(again), again.restarted], [['line 9'], true]);
});

test('a log may be waited for, of an old agent it has no cursor, and a long one is truncated', async (t) => {
  const written: string[] = [];
  let isNumbered = true;
  const { call, served } = await guestWith(t, (incoming, answer) => {
    logOf(written, isNumbered)(incoming, answer);
    if (written.length > 0) return;
    const line = 'id: 0\ndata: {"stream": "stdout", "timestamp": "now", "line": "late"}\n\n';
    setTimeout(() => answer.write(line), 400).unref();
  });
  assert.deepEqual(texts(await call('logs', {})), []);
  assert.deepEqual(texts(await call('logs', { wait: 5000 })), ['late']);
  isNumbered = false;
  written.push('one', 'two');
  const old = await call('logs', {});
  assert.deepEqual([texts(old), old.cursor], [['one', 'two'], null]);
  written.push(...Array.from({ length: 30 }, () => 'x'.repeat(60_000)));
  const long = await call('logs', { limit: 1000 });
  assert.ok(long.lines.length < 25);
  await until(() => served.agentStreams.size === 0);
});

/** The serial port of the VM; `said` is what was typed. */
async function guestWithConsole(t: TestContext) {
  const guest = await guestWith(t, (_incoming, answer) => answer.end());
  const { hypervisor, host } = guest.served.world;
  const ports: Duplex[] = [];
  let answerTo: (typed: string, port: Duplex) => void = () => undefined;
  hypervisor.openConsole = async () => {
    const [ours, theirs] = duplexPair();
    theirs.once('close', () => ours.destroy());
    theirs.setEncoding('utf8');
    theirs.on('data', (typed) => answerTo(typed, theirs));
    ports.push(ours);
    return ours;
  };
  host.consoleLog = 'printed before\n# ';
  const answers = (how: typeof answerTo) => {
    answerTo = how;
  };
  return { ...guest, ports, answers };
}

test('a console shows what it printed last, and is left again', async (t) => {
  const { call, ports, served } = await guestWithConsole(t);
  assert.deepEqual(await call('console.read', {}), {
    output: 'printed before\n# ',
    truncated: false,
    ended: false,
  });
  const cut = await call('console.read', { bytes: 2 });
  assert.deepEqual([cut.output, cut.truncated], ['# ', true]);
  served.world.host.consoleLog = '';
  assert.equal((await call('console.read', {})).output, '');
  assert.equal(ports.length, 3);
  for (const port of ports) await until(() => port.destroyed);
});

test('a line is typed, and what comes of it is the answer', async (t) => {
  const { call, ports, answers } = await guestWithConsole(t);
  answers((typed, port) => {
    port.write(typed);
    setTimeout(() => port.write('hello\n'), 50);
    setTimeout(() => port.write('# '), 100);
  });
  const quiet = await call('console.write', { input: 'echo hello' });
  assert.deepEqual(quiet, {
    output: 'echo hello\rhello\n# ',
    truncated: false,
    ended: false,
    found: false,
  });
  // The echo of what was typed is no answer.
  const found = await call('console.write', { input: 'echo hello', until: 'hello', timeout: 5000 });
  assert.deepEqual([found.found, found.output], [true, 'echo hello\rhello\n']);
  const missed = await call('console.write', { input: 'x', until: 'never', timeout: 300 });
  assert.equal(missed.found, false);
  for (const port of ports) await until(() => port.destroyed);
});

test('a guest that ends meanwhile ends the answer, and one that cannot be reached is an error', async (t) => {
  const { call, answers, served } = await guestWithConsole(t);
  answers((_typed, port) => {
    port.write('last words');
    setTimeout(() => port.destroy(), 50);
  });
  const ended = await call('console.write', { input: 'poweroff' });
  assert.deepEqual([ended.output, ended.ended], ['last words', true]);
  served.world.hypervisor.openConsole = async () => {
    throw new Error('nobody listens');
  };
  assert.equal((await call('console.read', {})).code, 'HOST_OPERATION_FAILED');
});

test('waits end with what they wait for, with their time, and with the daemon', async (t) => {
  const { call, served, client } = await guestWith(t, logOf([]));
  assert.equal((await call('wait', {})).status, 'running');
  const stopped = call('wait', { status: 'stopped', timeout: 20_000 });
  await served.engine.vms.stop('one');
  assert.equal((await stopped).status, 'stopped');
  assert.equal((await call('wait', { status: 'crashed', timeout: 20 })).code, 'WAIT_TIMEOUT');
  assert.equal((await call('wait', { name: 'none' })).code, 'VM_NOT_FOUND');
  const config = { plugin: 'hello' };
  await served.engine.deployments.create({ name: 'web', replicas: 2, config });
  const rolledOut = await client.callTool({
    name: 'volant.deployments.wait',
    arguments: { name: 'web', timeout: 20_000 },
  });
  assert.equal(rolledOut.structuredContent.ready_replicas, 2);
  await served.engine.vms.start('one');
  const log = call('logs', { wait: 60_000 });
  const waiting = call('wait', { status: 'stopped' });
  await until(() => served.agentStreams.size === 1);
  const drained = served.server.drain(60_000);
  assert.deepEqual((await inTime(log, 'the log')).lines, []);
  assert.equal((await inTime(waiting, 'the wait')).code, 'SHUTTING_DOWN');
  await inTime(drained, 'the end of the server');
});
