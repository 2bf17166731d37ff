// http, guests: watches of files: what an agent says becomes events, and every watch has an end: of the directory, the guest, the
// client, the key and the daemon.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createClient } from '../../../src/client/client.ts';
import { ApiError } from '../../../src/client/errors.ts';
import type { FileWatchEvent } from '../../../src/client/types.ts';
import { type ServeOptions, serve, until } from '../served.ts';

const PATH = '/api/v1/vms/one/files-watch?path=/srv';
const NDJSON = { 'Content-Type': 'application/x-ndjson' };

const line = (value: object) => `${JSON.stringify(value)}\n`;
const CREATED = { type: 'created', path: '/srv/a', kind: 'file' } as const;
const MOVED = { type: 'moved', path: '/srv/b', from: '/srv/a', kind: 'file' } as const;

/** An agent whose watches wait for what the test says. */
async function watched(t: TestContext, limits: ServeOptions['limits'] = {}) {
  const answers: ServerResponse[] = [];
  const targets: string[] = [];
  const agent: RequestListener = (request: IncomingMessage, answer) => {
    targets.push(request.url ?? '');
    answer.writeHead(200, NDJSON);
    answer.flushHeaders();
    answers.push(answer);
  };
  const served = await serve(t, { agent, limits });
  const client = createClient({ baseUrl: served.url });
  const begin = () => client.files.watch('one', '/srv', { recursive: true });
  return { ...served, answers, targets, begin };
}

async function eventsOf(watch: AsyncIterable<FileWatchEvent>): Promise<FileWatchEvent[]> {
  const events: FileWatchEvent[] = [];
  for await (const event of watch) events.push(event);
  return events;
}

test('changes, overflows and the end arrive in their order, and then nothing is left', async (t) => {
  const { begin, answers, targets, agentStreams } = await watched(t);
  const events = eventsOf(begin());
  await until(() => answers.length === 1);
  const [answer] = answers;
  const text = line(CREATED) + line(MOVED) + line({ type: 'overflow' });
  answer?.write(text.slice(0, 20));
  answer?.write(text.slice(20));
  answer?.write(line({ type: 'end', reason: 'directory_gone' }));
  assert.deepEqual(await events, [
    CREATED,
    MOVED,
    { type: 'overflow' },
    { type: 'end', reason: 'directory_gone' },
  ]);
  assert.deepEqual(targets, ['/agent/watch/srv?recursive=true']);
  await until(() => agentStreams.size === 0);
});

test('a client that goes ends the watch in the guest', async (t) => {
  const { begin, answers, agentStreams } = await watched(t);
  const watch = begin();
  const first = watch.next();
  await until(() => answers.length === 1);
  answers[0]?.write(line(CREATED));
  assert.deepEqual((await first).value, CREATED);
  await watch.return();
  await until(() => agentStreams.size === 0);
});

test('the end of a guest and of a daemon are told', async (t) => {
  const { begin, answers, agentStreams, server } = await watched(t);
  const gone = eventsOf(begin());
  await until(() => answers.length === 1);
  for (const stream of agentStreams) stream.destroy(new Error('the channel was lost'));
  assert.deepEqual(await gone, [{ type: 'end', reason: 'guest_gone' }]);
  const drained = eventsOf(begin());
  await until(() => answers.length === 2);
  await server.drain(5_000);
  assert.deepEqual(await drained, [{ type: 'end', reason: 'daemon_stops' }]);
  await until(() => agentStreams.size === 0);
});

test('what is no watch ends it as a guest that has gone', async (t) => {
  const { begin, answers, agentStreams } = await watched(t);
  for (const said of [
    'hello\n',
    line({ ...CREATED, path: 'a' }),
    line({ type: 'end', reason: 'too_slow' }),
  ]) {
    const events = eventsOf(begin());
    await until(() => answers.length === 1);
    answers.pop()?.write(line(CREATED) + said);
    const told = await events;
    assert.deepEqual(told.at(-1), { type: 'end', reason: 'guest_gone' });
  }
  await until(() => agentStreams.size === 0);
});

test('a client that does not read holds the agent back, and is told in the end that it is too slow', async (t) => {
  const limits = { fileWatchLimits: { heartbeatMs: 50, stallMs: 300 } };
  const { port, answers, agentStreams } = await watched(t, limits);
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.pause();
  socket.write(`GET ${PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  await until(() => answers.length === 1);
  const [answer] = answers;
  const piece = line({ ...CREATED, path: `/srv/${'x'.repeat(4000)}` }).repeat(50);
  assert.ok(answer);
  // The agent is held back by what it cannot write, long before all of this is sent.
  const closed = once(answer, 'close');
  let written = 0;
  while (written < 500 && agentStreams.size > 0) {
    if (!answer.write(piece)) await Promise.race([once(answer, 'drain'), closed]);
    written += 1;
  }
  assert.ok(written < 500, 'it took everything');
  await until(() => agentStreams.size === 0);
  let received = '';
  socket.on('data', (chunk) => {
    received = (received + chunk.toString('latin1')).slice(-1000);
  });
  socket.resume();
  await until(() => received.includes('event: end'));
  assert.match(received, /event: end\ndata: {"reason":"too_slow"}/);
});

test('a silent watch has comments, and more than there may be are refused', async (t) => {
  const { port, begin, answers } = await watched(t, {
    fileWatchLimits: { heartbeatMs: 20, watchesMax: 1 },
  });
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString();
  });
  socket.write(`GET ${PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  await until(() => received.includes(': heartbeat'));
  assert.match(received, /Content-Type: text\/event-stream/i);
  await assert.rejects(begin().next(), (error: unknown) => {
    assert.ok(error instanceof ApiError);
    return error.code === 'OVERLOADED';
  });
  assert.equal(answers.length, 1);
});

test('a refusal of the agent is the answer, and so is an agent that knows no watches', async (t) => {
  const answers = [
    [409, { error: 'srv: this is no directory', code: 'FILE_TYPE_CONFLICT' }],
    [409, { error: 'too many', code: 'FILE_TREE_TOO_LARGE' }],
    [404, { error: 'there is no such route' }],
  ] as const;
  let next = 0;
  const agent: RequestListener = (_, answer) => {
    const [status, body] = answers[next] ?? answers[0];
    next += 1;
    const code = 'code' in body ? { 'X-Volant-Code': body.code } : {};
    answer.writeHead(status, { 'Content-Type': 'application/json', ...code });
    answer.end(JSON.stringify(body));
  };
  const { call, agentStreams } = await serve(t, { agent });
  for (const wanted of [
    '409 FILE_TYPE_CONFLICT',
    '409 FILE_TREE_TOO_LARGE',
    '409 FILES_UNSUPPORTED',
  ]) {
    const response = await call('GET', PATH);
    const { code } = (await response.json()) as { code: string };
    assert.equal(`${response.status} ${code}`, wanted);
  }
  await until(() => agentStreams.size === 0);
});

test('an agent that says nothing is given up in time', async (t) => {
  const { call, agentStreams } = await serve(t, {
    agent: () => undefined,
    limits: { fileWatchLimits: { beginMs: 50 } },
  });
  const response = await call('GET', PATH);
  assert.equal(response.status, 502);
  assert.equal(((await response.json()) as { code: string }).code, 'AGENT_UNREACHABLE');
  await until(() => agentStreams.size === 0);
});

test('everything that is wrong with a request is named', async (t) => {
  const { call } = await watched(t);
  const refused = async (query: string) => {
    const response = await call('GET', `/api/v1/vms/one/files-watch${query}`);
    assert.equal(response.status, 400, query);
    const { details } = (await response.json()) as { details: object };
    return Object.keys(details).sort();
  };
  assert.deepEqual(await refused(''), ['path']);
  assert.deepEqual(await refused('?path=/a/../b&recursive=maybe&root=x&more=1'), [
    'more',
    'path',
    'recursive',
    'root',
  ]);
  assert.deepEqual(await refused('?path=/a%00b'), ['path']);
  assert.equal((await call('GET', '/api/v1/vms/none/files-watch?path=/')).status, 404);
  assert.equal((await call('HEAD', PATH)).status, 200);
});
