// http, exchange: requests and their bodies as clients send them: in one piece, in chunks, several on one connection, too
// large, too slow, or invalid.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { LIMITS } from '../../../src/config/limits.ts';
import { createFakeEngine, vmRecord } from '../fake-engine.ts';
import { ask, errorIn, inTime, outcome, pause, RawClient, startServer } from '../harness.ts';

const CREATE = 'POST /api/v1/vms';

test('a body is understood to the byte, whatever it is made of', async (t) => {
  const server = await startServer(t);
  const cmdline = 'ünïcödé "quotes" \\ 🦊 \u0000 end';
  const answer = await ask(server, CREATE, {
    body: JSON.stringify({ name: 'one', kernel_cmdline: cmdline }),
  });
  assert.equal(answer.status, 201);
  const [call] = server.fake.calls;
  assert.deepEqual(call?.given[0], { name: 'one', kernel_cmdline: cmdline });
});

test('an answer is exactly its bytes', async (t) => {
  const fake = createFakeEngine();
  // Strings of one byte and of two bytes a character are different things to V8.
  for (const [index, motto] of ['grüß-dich', 'grüß-dich-🦊', 'ü'.repeat(100_000)].entries()) {
    fake.vms.put(vmRecord(index, `vm-${index}`, { kernelCmdline: `motto=${motto}` }));
  }
  const server = await startServer(t, { fake });
  for (const name of ['vm-0', 'vm-1', 'vm-2']) {
    const expected = fake.vms.body(name);
    const answer = await ask(server, `GET /api/v1/vms/${name}`);
    assert.equal(answer.text, expected);
    assert.equal(answer.headers['content-length'], String(Buffer.byteLength(expected ?? '')));
    assert.equal(answer.headers['content-type'], 'application/json');
  }
});

test('a chunked body is one body, also when a chunk ends inside a character', async (t) => {
  const server = await startServer(t);
  const body = Buffer.from('{"name":"one","runtime":"🦊"}');
  const client = await RawClient.open(t, server);
  client.head('POST /api/v1/vms HTTP/1.1', 'Host: localhost', 'Transfer-Encoding: chunked');
  for (const byte of body) {
    client.send(Buffer.concat([Buffer.from('1\r\n'), Buffer.from([byte]), Buffer.from('\r\n')]));
  }
  client.send('0\r\n\r\n');
  assert.equal((await client.answer()).status, 201);
  assert.deepEqual(server.fake.calls[0]?.given[0], { name: 'one', runtime: '🦊' });
});

test('a body may be as large as its route takes, and not a byte larger', async (t) => {
  const server = await startServer(t);
  const exactly = (bytes: number) => {
    const empty = JSON.stringify({ enabled: true, note: '' });
    return JSON.stringify({ enabled: true, note: 'x'.repeat(bytes - empty.length) });
  };
  const target = 'POST /api/v1/plugins/hello/enabled';
  const fits = await ask(server, target, { body: exactly(LIMITS.bodyBytesMax) });
  assert.equal(fits.status, 200);
  const body = exactly(LIMITS.bodyBytesMax + 1);
  const keepAlive = { Connection: 'keep-alive' };
  for (const sent of [body, [body.slice(0, 70_000), body.slice(70_000)]]) {
    const answer = await ask(server, target, { body: sent, headers: keepAlive });
    assert.equal(outcome(answer), '413 BODY_TOO_LARGE');
    assert.equal(answer.headers.connection, 'close');
  }
  assert.deepEqual(server.fake.callNames(), ['plugins.setEnabled']);
});

test('a client that sends far too much reads why it was refused', async (t) => {
  const server = await startServer(t);
  // In a thread of its own it sends on while the server answers, as a client elsewhere does.
  const client = new Worker(
    `const { request } = require('node:http');
     const { parentPort, workerData: { port, path, bytes, rounds } } = require('node:worker_threads');
     const body = Buffer.alloc(bytes, 'x');
     const outcomes = [];
     const ask = () => {
       if (outcomes.length === rounds) return parentPort.postMessage(outcomes);
       const note = (outcome) => { outcomes.push(outcome); ask(); };
       const headers = { 'Content-Length': bytes };
       const asked = request({ port, path, method: 'POST', headers, agent: false }, (answer) => {
         asked.removeAllListeners('error').on('error', () => undefined);
         answer.resume().once('end', () => note(answer.statusCode)).once('error', (e) => note(e.code));
       });
       asked.once('error', (e) => note(e.code)).end(body);
     };
     ask();`,
    {
      eval: true,
      workerData: {
        port: server.server.port,
        path: '/api/v1/plugins',
        bytes: LIMITS.manifestBytesMax * 4,
        rounds: 30,
      },
    },
  );
  const outcomes = await inTime(
    new Promise<number[]>((resolve) => client.once('message', resolve)),
    'answers',
  );
  await client.terminate();
  assert.deepEqual(new Set(outcomes), new Set([413]));
  assert.deepEqual(server.fake.calls, []);
});

test('a body that does not arrive in time is answered with 408 and the connection ends', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const server = await startServer(t);
  const client = await RawClient.open(t, server);
  const length = 'Content-Length: 100';
  client.head('POST /api/v1/vms HTTP/1.1', 'Host: localhost', 'Expect: 100-continue', length);
  assert.equal((await client.answer()).status, 100);
  client.send('{"name":');
  t.mock.timers.tick(LIMITS.bodyTimeoutMs - 1);
  await pause(20);
  assert.equal(client.received, '');
  t.mock.timers.tick(1);
  const answer = await client.answer();
  assert.equal(outcome(answer), '408 REQUEST_TIMEOUT');
  assert.equal(answer.headers.connection, 'close');
  await client.end();
  assert.deepEqual(server.fake.calls, []);
});

test('a body that is no UTF-8 is refused, and never kept as something else', async (t) => {
  const server = await startServer(t);
  for (const bytes of ['\xe9', '\xc3', '\xed\xa0\x80', '\xf8\x88\x80\x80\x80', '\xc0\x80']) {
    const body = Buffer.from(`{"name":"one","kernel_cmdline":"caf${bytes}"}`, 'latin1');
    const answer = await ask(server, CREATE, { body });
    assert.equal(outcome(answer), '400 JSON_INVALID');
    assert.equal(errorIn(answer).details?.['body'], 'is not UTF-8');
  }
  assert.deepEqual(server.fake.calls, []);
});

test('a body that is no JSON is refused with what is wrong', async (t) => {
  const server = await startServer(t);
  const bodies = ['{', '{"name":"one"', "{'name':'one'}", '{"name":"one"}}', 'name=one'];
  const notUtf8 = Buffer.from('{"name":"k\xe4se"}', 'latin1');
  for (const body of [...bodies, '['.repeat(100_000), notUtf8]) {
    const answer = await ask(server, CREATE, { body });
    assert.equal(outcome(answer), '400 JSON_INVALID', String(body).slice(0, 30));
    assert.notEqual(errorIn(answer).details?.['body'], '');
  }
  assert.deepEqual(server.fake.calls, []);
});

test('JSON that is not what the route takes is refused field by field', async (t) => {
  const server = await startServer(t);
  const refused = async (body: string) => {
    const answer = await ask(server, CREATE, { body });
    assert.equal(outcome(answer), '400 BODY_INVALID', body);
    return Object.keys(errorIn(answer).details ?? {});
  };
  assert.deepEqual(await refused('{"name":7,"cpu_cores":"two"}'), ['name', 'cpu_cores']);
  assert.deepEqual(await refused('{"config":{"resources":{"cpu_cores":"x"}}}'), [
    'name',
    'config.resources.cpu_cores',
  ]);
  for (const body of ['null', '[]', '"one"', '7', 'true']) await refused(body);
  await refused('{"__proto__":{"name":"one"}}');
  assert.deepEqual(server.fake.calls, []);
});

/** JSON that programs understand differently, or that cannot be kept as it is, and which member is named. */
const AMBIGUOUS: readonly (readonly [what: string, body: string, member: string])[] = [
  ['a name twice', '{"name":"a","name":"b"}', 'name'],
  ['a name twice, escaped once', '{"name":"a","config":{"x":1,"\\u0078":2}}', 'config.x'],
  ['a name twice in an item', '{"name":"a","config":{"l":[{},{"b":1,"b":2}]}}', 'config.l[1].b'],
  [
    'half a surrogate pair',
    '{"name":"a","config":{"metadata":{"k":"\\ud83d"}}}',
    'config.metadata.k',
  ],
  ['the other half', '{"name":"a","config":{"metadata":["x","\\uDE00"]}}', 'config.metadata[1]'],
  ['half a pair in a name', '{"name":"a","config":{"\\ud83d":1}}', 'config["\\ud83d"]'],
  ['a number that is not exact', '{"name":"a","cpu_cores":9007199254740993}', 'cpu_cores'],
  ['a huge number', '{"name":"a","cpu_cores":1e300}', 'cpu_cores'],
  ['a number that is infinite', '{"name":"a","config":{"n":[-1e999]}}', 'config.n[0]'],
];

test('JSON that does not mean the same to everybody is refused, with the member', async (t) => {
  const server = await startServer(t);
  for (const [what, body, member] of AMBIGUOUS) {
    const answer = await ask(server, CREATE, { body });
    assert.equal(outcome(answer), '400 BODY_INVALID', what);
    assert.deepEqual(Object.keys(errorIn(answer).details ?? {}), [member], what);
  }
  for (const levels of [70, 1_500, 5_000, 200_000]) {
    const deep = `${'['.repeat(levels)}${']'.repeat(levels)}`;
    const answer = await ask(server, CREATE, {
      body: `{"name":"a","config":{"metadata":{"a":${deep}}}}`,
    });
    assert.equal(outcome(answer), '400 BODY_INVALID', `${levels} levels`);
  }
  assert.deepEqual(server.fake.calls, []);
});

test('what is unusual and clear is taken', async (t) => {
  const server = await startServer(t);
  const metadata = {
    pair: '\u{1f600}',
    escaped: 'a"b\\c\n',
    'quoted "name"': [1.5, -0.25, 1e-7, 9007199254740991, 12345678901234.5],
    nested: { pair: 1, nested: { pair: 2 } },
  };
  const text = JSON.stringify({ name: 'one', config: { metadata } });
  const escaped = text.replace('\u{1f600}', '\\ud83d\\ude00');
  for (const [index, body] of [text, escaped, `\ufeff${text}`].entries()) {
    const named = body.replace('"one"', `"one-${index}"`);
    const answer = await ask(server, CREATE, { body: named });
    assert.equal(answer.status, 201, answer.text);
  }
});

test('a body is required where the route has one', async (t) => {
  const server = await startServer(t);
  for (const target of [CREATE, 'POST /api/v1/plugins', 'POST /api/v1/plugins/hello/enabled']) {
    assert.equal(outcome(await ask(server, target)), '400 JSON_INVALID');
    assert.equal(outcome(await ask(server, target, { body: '' })), '400 JSON_INVALID');
    assert.equal(outcome(await ask(server, target, { body: ' ' })), '400 JSON_INVALID');
  }
});

test('a body where the route has none is passed over', async (t) => {
  const fake = createFakeEngine();
  fake.vms.put(vmRecord(1, 'one'));
  const server = await startServer(t, { fake });
  const client = await RawClient.open(t, server);
  const body = 'x'.repeat(200_000);
  client.head('POST /api/v1/vms/one/stop HTTP/1.1', 'Host: localhost', 'Content-Length: 200000');
  client.send(body);
  assert.equal((await client.answer()).status, 200);
  client
    .head('GET /api/v1/vms/one HTTP/1.1', 'Host: localhost', 'Content-Length: 200000')
    .send(body);
  assert.equal((await client.answer()).status, 200);
  client.head('GET /healthz HTTP/1.1', 'Host: localhost');
  assert.equal((await client.answer()).text, '{"status":"ok"}');
});

test('an empty parameter that decides what is done is refused, and nothing is done', async (t) => {
  const server = await startServer(t);
  const body = JSON.stringify({ name: 'x', plugin: 'hello' });
  for (const query of ['dry_run', 'dry_run=', 'wait=', 'timeout=', 'wait&dry_run=true']) {
    const answer = await ask(server, `POST /api/v1/vms?${query}`, { body });
    assert.equal(outcome(answer), '400 PARAMETER_INVALID', query);
  }
  assert.deepEqual(server.fake.calls, []);
});

test('an Idempotency-Key that is none is refused, and nothing is done', async (t) => {
  const server = await startServer(t);
  const body = JSON.stringify({ name: 'x', plugin: 'hello' });
  for (const key of ['', ' ', 'ä', 'a b', 'x'.repeat(LIMITS.idempotencyKeyCharactersMax + 1)]) {
    const client = await RawClient.open(t, server);
    const length = `Content-Length: ${body.length}`;
    client.head(`${CREATE} HTTP/1.1`, 'Host: localhost', `Idempotency-Key: ${key}`, length);
    client.send(body);
    assert.equal((await client.answer()).status, 400, key);
  }
  assert.deepEqual(server.fake.calls, []);
});

test('Content-Type is not asked for: a body is JSON', async (t) => {
  const server = await startServer(t);
  const types = [
    'application/json; charset=utf-8',
    'text/plain',
    'application/x-www-form-urlencoded',
  ];
  for (const [index, type] of types.entries()) {
    const body = JSON.stringify({ name: `vm-${index}` });
    const answer = await ask(server, CREATE, { body, headers: { 'Content-Type': type } });
    assert.equal(answer.status, 201, type);
  }
});

test('answers without a body say so', async (t) => {
  const fake = createFakeEngine();
  fake.vms.put(vmRecord(1, 'one'));
  const server = await startServer(t, { fake });
  const installed = await ask(server, 'POST /api/v1/plugins', { body: '{}' });
  assert.deepEqual([installed.status, installed.text], [201, '']);
  assert.equal(installed.headers['content-length'], '0');
  const enabled = await ask(server, 'POST /api/v1/plugins/hello/enabled', {
    body: '{"enabled":false}',
  });
  assert.deepEqual([enabled.status, enabled.text], [200, '']);
  const deleted = await ask(server, 'DELETE /api/v1/vms/one');
  assert.deepEqual([deleted.status, deleted.text], [204, '']);
  assert.equal(deleted.headers['content-length'], undefined);
});

test('one connection carries any answers one after the other', async (t) => {
  const fake = createFakeEngine();
  fake.vms.put(vmRecord(1, 'one'));
  const server = await startServer(t, { fake });
  const client = await RawClient.open(t, server);
  const expected = [
    ['HEAD /api/v1/vms/one', 200],
    ['GET /api/v1/vms/one', 200],
    ['HEAD /api/v1/events/vms', 200],
    ['GET /api/v1/vms/none', 404],
    ['HEAD /api/v1/vms/none', 404],
    ['PUT /api/v1/vms/one', 405],
    ['OPTIONS /api/v1/vms', 204],
    ['POST /api/v1/vms', 400],
    ['DELETE /api/v1/vms/one', 204],
    ['GET /nowhere', 404],
    ['GET /healthz', 200],
  ] as const;
  for (const [target, status] of expected) {
    client.head(`${target} HTTP/1.1`, 'Host: localhost', 'Content-Length: 0');
    const answer = await client.answer(target.split(' ')[0]);
    assert.equal(answer.status, status, target);
    assert.equal(answer.headers.connection, undefined, target);
  }
  assert.equal(client.received, '');
});

test('requests that are sent at once are answered in their order', async (t) => {
  const fake = createFakeEngine();
  for (let id = 1; id <= 300; id += 1) fake.vms.put(vmRecord(id, `vm-${id}`));
  const server = await startServer(t, { fake });
  const client = await RawClient.open(t, server);
  for (let id = 1; id <= 300; id += 1)
    client.head(`GET /api/v1/vms/vm-${id} HTTP/1.1`, 'Host: localhost');
  for (let id = 1; id <= 300; id += 1) {
    assert.equal((await client.answer()).text, fake.vms.body(`vm-${id}`));
  }
});

test('a fault of the daemon is answered without a word about itself, and logged', async (t) => {
  const fake = createFakeEngine({
    plugins: {
      list: () => {
        throw new Error('the secret of the house');
      },
      install: () => Promise.reject(new Error('the secret of the house')),
    },
  });
  const server = await startServer(t, { fake });
  for (const target of ['GET /api/v1/plugins', 'POST /api/v1/plugins']) {
    const answer = await ask(server, target, target.startsWith('POST') ? { body: '{}' } : {});
    assert.equal(outcome(answer), '500 INTERNAL');
    assert.doesNotMatch(answer.text, /secret/);
  }
  const errors = server.log.filter(({ level }) => level === 'error');
  assert.equal(errors.length, 2);
  for (const { bindings } of errors) {
    const { err } = bindings as { err: Error };
    assert.match((err.cause as Error).message, /secret/);
  }
});
