// http, access: named keys: what each scope and prefix allows in every operation, tool and socket; how keys change while
// the server runs; and that keys appear only in requests.

import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadConfig } from '../../../src/config.ts';
import type { Cause } from '../../../src/engine/engine-api.ts';
import { checkGuards } from '../../../src/http/access/guards.ts';
import { TOOLS } from '../../../src/http/mcp/tools/tools.ts';
import { makeKey, renderKeys, type StoredKey } from '../../../src/lib/files/key-file.ts';
import { includesScope, SCOPES, type Scope } from '../../../src/lib/scopes.ts';
import type { Operation } from '../../../src/schema/operations/operation.ts';
import { OPERATIONS } from '../../../src/schema/operations.ts';
import { bodyFor, NAMED_ARGUMENTS } from '../every-route.ts';
import { createFakeEngine, vmEvent, vmRecord } from '../fake-engine.ts';
import { ask, errorIn, eventually, outcome, RawClient, startServer } from '../harness.ts';

type Made = ReturnType<typeof makeKey>;
const key = (name: string, scope: Scope, prefix = '', expiresAt: string | null = null): Made =>
  makeKey({ name, scope, prefix, expiresAt });

function keysFile(t: TestContext): { path: string; write: (...keys: StoredKey[]) => void } {
  const directory = mkdtempSync(join(tmpdir(), 'volant-keys-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'keys.json');
  const write = (...keys: StoredKey[]) => {
    writeFileSync(`${path}.next`, renderKeys(keys), { mode: 0o600 });
    renameSync(`${path}.next`, path);
  };
  return { path, write };
}

async function served(t: TestContext, ...made: Made[]) {
  const file = keysFile(t);
  file.write(...made.map(({ stored }) => stored));
  const fake = createFakeEngine({ agents: {}, consoles: {} });
  const server = await startServer(t, { fake, environment: { VOLANT_API_KEYS_FILE: file.path } });
  return { server, fake, file };
}

test('launches are those of the key that asks for them, by whatever way', async (t) => {
  const [one, other] = [key('one', 'operate'), key('other', 'admin')];
  const { server, fake } = await served(t, one, other);
  const body = (name: string) => JSON.stringify({ name, plugin: 'hello' });
  await ask(server, 'POST /api/v1/vms', { body: body('a'), headers: bearer(one) });
  await ask(server, 'POST /api/v1/vms', { body: body('b'), headers: bearer(other) });
  await ask(server, 'POST /api/v1/vms/a/start', { headers: bearer(one) });
  await ask(server, 'POST /api/v1/vms/a/restart', { headers: bearer(other) });
  const params = { name: 'volant.vms.start', arguments: { name: 'b' } };
  const call = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });
  await ask(server, 'POST /api/v1/mcp', { body: call, headers: bearer(one) });
  assert.deepEqual(
    fake.calls.map(({ name, given }) => [name, (given.at(-1) as Cause).client]),
    [
      ['vms.create', 'key one'],
      ['vms.create', 'key other'],
      ['vms.start', 'key one'],
      ['vms.restart', 'key other'],
      ['vms.start', 'key one'],
    ],
  );
});

const bearer = ({ key: text }: Made) => ({ Authorization: `Bearer ${text}` });

test('every operation is refused to each scope that does not include its own, and to no other', async (t) => {
  const keys = SCOPES.map((scope) => ({ scope, made: key(scope, scope) }));
  const { server } = await served(t, ...keys.map(({ made }) => made));
  const operations = Object.entries<Operation>(OPERATIONS);
  assert.ok(operations.length >= 41);
  for (const [id, operation] of operations) {
    if (operation.scope === 'none') continue;
    // A stream would continue; HEAD asks the same without it.
    const method = operation.method === 'GET' ? 'HEAD' : operation.method;
    const path = operation.path.replace(/\{\w+\}/g, 'none');
    const body = operation.request === undefined ? {} : { body: '{' };
    for (const { scope, made } of keys) {
      const { status, text } = await ask(server, `${method} ${path}`, {
        ...body,
        headers: bearer(made),
      });
      const allowed = includesScope(scope, operation.scope);
      assert.equal(status !== 403, allowed, `${id} with ${scope}: ${status}`);
      if (!allowed && method !== 'HEAD') {
        const error = errorIn({ status, text });
        assert.equal(error.code, 'SCOPE_FORBIDDEN');
        assert.equal(error.details?.['scope'], operation.scope);
      }
    }
    const without = await ask(server, `${method} ${path}`, body);
    assert.equal(without.status, 401, id);
  }
});

test('GETs are for readers, and nothing that changes is', () => {
  for (const [id, { method, scope }] of Object.entries<Operation>(OPERATIONS)) {
    // It has all VMs in it, and what configs keep secret.
    if (id === 'backupState') assert.equal(scope, 'admin');
    else if (method === 'GET' && id !== 'getVMFile') assert.match(scope, /^(read|none)$/, id);
    else if (id !== 'postMCPCommand') assert.ok(scope === 'operate' || scope === 'admin', id);
  }
  const changing = TOOLS.filter(({ hints }) => !hints.readOnlyHint);
  assert.ok(changing.every(({ scope }) => scope !== 'read'));
});

test('every MCP tool is refused to each scope that does not include its own, in each dialect', async (t) => {
  const keys = SCOPES.map((scope) => ({ scope, made: key(scope, scope) }));
  const { server } = await served(t, ...keys.map(({ made }) => made));
  for (const { name, scope: needed } of TOOLS) {
    for (const { scope, made } of keys) {
      // No tool takes these.
      const params = { name: 'volant.none', arguments: { limit: 'x', name: 5, manifest: 5 } };
      const messages = [
        { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { ...params, name } },
        { command: name, params: params.arguments },
      ];
      for (const message of messages) {
        const body = JSON.stringify(message);
        const { text } = await ask(server, 'POST /api/v1/mcp', { body, headers: bearer(made) });
        const refused = /needs an API key with the scope/.test(text);
        assert.equal(refused, !includesScope(scope, needed), `${name} with ${scope}: ${text}`);
      }
    }
  }
});

test('a key with a prefix sees and changes what has it, and is refused everything else', async (t) => {
  const mine = key('mine', 'operate', 'a-');
  const { server, fake } = await served(t, mine);
  fake.vms.put(vmRecord(1, 'a-one'));
  fake.vms.put(vmRecord(2, 'b-one'));
  const headers = bearer(mine);
  const list = await ask(server, 'GET /api/v1/vms?sort=name', { headers });
  assert.deepEqual(
    JSON.parse(list.text).map(({ name }: { name: string }) => name),
    ['a-one'],
  );
  assert.equal(list.headers['x-total-count'], '1');
  const status = await ask(server, 'GET /api/v1/system/status', { headers });
  assert.equal(JSON.parse(status.text).vm_count, 1);
  assert.equal(outcome(await ask(server, 'GET /metrics', { headers })), '403 NAME_FORBIDDEN');
  const foreign = Object.values<Operation>(OPERATIONS).filter(
    ({ path, scope }) => /^\/api\/v1\/(vms|deployments)\/\{/.test(path) && scope !== 'admin',
  );
  assert.ok(foreign.length >= 12);
  for (const { method, path, request } of foreign) {
    for (const name of ['b-one', 'none']) {
      const target = `${method} ${path.replace(/\{\w+\}/g, name)}`;
      const body = request === undefined ? {} : { body: bodyFor(path) };
      const answer = await ask(server, target, { headers, ...body });
      assert.equal(outcome(answer), '403 NAME_FORBIDDEN', target);
    }
  }
  for (const path of ['vms', 'deployments', 'vms?dry_run=true', 'deployments?dry_run=true']) {
    const body = JSON.stringify({ name: 'b-two', plugin: 'hello', config: { plugin: 'hello' } });
    const answer = await ask(server, `POST /api/v1/${path}`, { headers, body });
    assert.equal(outcome(answer), '403 NAME_FORBIDDEN', path);
  }
  assert.equal(
    outcome(await ask(server, 'GET /api/v1/vms/b-one/agent/v1/', { headers })),
    '403 NAME_FORBIDDEN',
  );
  assert.equal((await ask(server, 'GET /api/v1/vms/a-one', { headers })).status, 200);
  const body = JSON.stringify({ name: 'a-two', plugin: 'hello' });
  assert.equal((await ask(server, 'POST /api/v1/vms', { headers, body })).status, 201);
  assert.deepEqual(fake.callNames(), ['vms.create']);
});

test('a socket of a VM needs its scope and its name', async (t) => {
  const reader = key('reader', 'read');
  const mine = key('mine', 'operate', 'a-');
  const { server } = await served(t, reader, mine);
  const upgrade = async (path: string, made: Made) => {
    const client = await RawClient.open(t, server);
    const socket = ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13'];
    const nonce = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
    client.head(`GET ${path}?api_key=${made.key} HTTP/1.1`, 'Host: localhost', ...socket, nonce);
    return outcome(await client.answer());
  };
  assert.equal(await upgrade('/ws/v1/vms/b-one/console', reader), '403 SCOPE_FORBIDDEN');
  assert.equal(await upgrade('/ws/v1/vms/b-one/console', mine), '403 NAME_FORBIDDEN');
  assert.equal(await upgrade('/ws/v1/vms/b-one/logs', mine), '403 NAME_FORBIDDEN');
  assert.equal(await upgrade('/ws/v1/vms/b-one/exec/a', reader), '403 SCOPE_FORBIDDEN');
  assert.equal(await upgrade('/ws/v1/vms/b-one/exec/a', mine), '403 NAME_FORBIDDEN');
});

test('every MCP tool that names something is refused for a name outside of the prefix', async (t) => {
  const mine = key('mine', 'operate', 'a-');
  const { server } = await served(t, mine);
  const named = TOOLS.filter(
    ({ name, scope, input }) =>
      /^volant\.(vms|deployments)\./.test(name) && scope !== 'admin' && 'name' in input.properties,
  );
  assert.ok(named.length > 20);
  // What these tools need besides; those that do not know an argument are refused for their name nevertheless.
  const more: Readonly<Record<string, object>> = {
    'volant.vms.files.write': { content: '' },
    'volant.vms.action': { action: 'greet' },
    'volant.vms.console.write': { input: '' },
    ...NAMED_ARGUMENTS,
    'volant.vms.config.patch': { patch: {} },
    'volant.deployments.create': { config: { plugin: 'hello' } },
  };
  for (const { name } of named) {
    const path = /request|files/.test(name) ? { path: '/f' } : {};
    const message = { name, arguments: { name: 'b-one', ...path, ...more[name] } };
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: message });
    const { text } = await ask(server, 'POST /api/v1/mcp', { body, headers: bearer(mine) });
    assert.equal(JSON.parse(text).result.structuredContent.code, 'NAME_FORBIDDEN', name);
  }
});

test('events and MCP pages of a key with a prefix are about its own names', async (t) => {
  const mine = key('mine', 'read', 'a-');
  const { server, fake } = await served(t, mine);
  const client = await RawClient.open(t, server);
  client.head(`GET /api/v1/events?api_key=${mine.key} HTTP/1.1`, 'Host: localhost');
  await eventually(() => client.received.includes(': connected'), 'the stream');
  fake.events.append(vmEvent('b-one'), vmEvent('0000:00:01.0', 'DEVICE_BOUND'), vmEvent('a-one'));
  await eventually(() => client.received.includes('a-one'), 'the event');
  assert.ok(!/b-one|DEVICE_BOUND/.test(client.received), client.received);
  fake.events.append(vmEvent('b-two'));
  const params = { uri: 'volant://events?after=0' };
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'resources/read', params });
  const { text } = await ask(server, 'POST /api/v1/mcp', { headers: bearer(mine), body });
  const page = JSON.parse(JSON.parse(text).result.contents[0].text);
  assert.deepEqual(
    page.events.map(({ name }: { name: string }) => name),
    ['a-one'],
  );
  // What was left out is not asked for again.
  assert.equal(page.next_after, 4);
});

test('an Idempotency-Key of one caller is not that of another', async (t) => {
  const [one, two] = [key('one', 'operate', 'a-'), key('two', 'operate', 'a-o')];
  const { server, fake } = await served(t, one, two);
  const body = JSON.stringify({ name: 'a-one', plugin: 'hello' });
  const send = (made: Made) =>
    ask(server, 'POST /api/v1/vms', { body, headers: { ...bearer(made), 'Idempotency-Key': 'k' } });
  assert.equal((await send(one)).status, 201);
  assert.equal((await send(one)).headers['idempotent-replayed'], 'true');
  assert.equal(outcome(await send(two)), '409 VM_NAME_TAKEN');
  assert.equal(fake.callNames().length, 2);
});

test('PCI devices of the host are for admins, wherever they are named', async (t) => {
  const operator = key('operator', 'operate');
  const { server, fake } = await served(t, operator);
  const devices = { pci_passthrough: ['0000:01:00.0'] };
  const config = { plugin: 'hello', devices };
  const headers = bearer(operator);
  for (const path of ['vms', 'deployments']) {
    const body = JSON.stringify({ name: 'one', plugin: 'hello', config });
    const answer = await ask(server, `POST /api/v1/${path}`, { headers, body });
    assert.equal(outcome(answer), '403 SCOPE_FORBIDDEN', path);
  }
  const patch = { headers, body: JSON.stringify({ devices }) };
  assert.equal(
    outcome(await ask(server, 'PATCH /api/v1/vms/one/config', patch)),
    '403 SCOPE_FORBIDDEN',
  );
  assert.deepEqual(fake.calls, []);
});

test('what is wrong with a key is said', async (t) => {
  const old = key('old', 'admin', '', '2020-01-01T00:00:00Z');
  const { server } = await served(t, old);
  const said = async (headers = {}) => {
    const answer = await ask(server, 'GET /api/v1/vms', { headers });
    assert.equal(outcome(answer), '401 UNAUTHORIZED');
    return errorIn(answer).error;
  };
  assert.equal(await said(), 'An API key is required');
  assert.equal(await said({ 'X-Volant-API-Key': 'volant_no' }), 'The API key is wrong');
  assert.equal(await said(bearer(old)), 'The API key has expired');
  const plain = await ask(server, 'GET /ws/v1/vms/one/console');
  assert.equal(outcome(plain), '401 UNAUTHORIZED');
});

test('keys change while the server runs; a broken file leaves the last good ones', async (t) => {
  const [first, second] = [key('ci', 'read'), key('ci', 'read')];
  const { server, file } = await served(t, first);
  const good = async (made: Made) =>
    (await ask(server, 'GET /api/v1/vms', { headers: bearer(made) })).status === 200;
  assert.deepEqual([await good(first), await good(second)], [true, false]);
  const stream = await RawClient.open(t, server);
  stream.head('GET /api/v1/events HTTP/1.1', 'Host: localhost', `X-Volant-API-Key: ${first.key}`);
  await eventually(() => stream.received.includes(': connected'), 'the stream');

  const reads = () =>
    server.log.filter(({ message }) => message === 'API keys were read again').length;
  file.write(first.stored, second.stored);
  await eventually(() => reads() === 1, 'both keys');
  assert.deepEqual([await good(first), await good(second)], [true, true]);
  assert.ok(!stream.ended);

  writeFileSync(file.path, '{"version": 1, "keys": [');
  await eventually(() => server.log.some(({ level }) => level === 'error'), 'the complaint');
  assert.deepEqual([await good(first), await good(second)], [true, true]);
  const health = await ask(server, 'GET /healthz');
  assert.deepEqual(JSON.parse(health.text).warnings, ['KEYS_FILE_BROKEN']);

  file.write(second.stored);
  await eventually(() => reads() === 2, 'one key');
  assert.deepEqual([await good(first), await good(second)], [false, true]);
  // What the first key had open is over.
  await stream.end();
  assert.deepEqual(JSON.parse((await ask(server, 'GET /healthz')).text), { status: 'ok' });

  await server.server.drain(1000);
  const used = JSON.parse(readFileSync(`${file.path}.used`, 'utf8'));
  assert.deepEqual(Object.keys(used), [second.stored.id]);
});

test('a file of keys that comes while the server runs is obeyed from then on', async (t) => {
  const file = keysFile(t);
  const server = await startServer(t, { environment: { VOLANT_API_KEYS_FILE: file.path } });
  assert.equal((await ask(server, 'GET /api/v1/vms')).status, 200);
  file.write();
  await eventually(() => server.log.some(({ message }) => /needs a key/.test(message)), 'the file');
  assert.equal((await ask(server, 'GET /api/v1/vms')).status, 401);
});

test('no key is in the log, in answers or in events, whatever becomes of its request', async (t) => {
  const good = key('good', 'read');
  const wrong = key('wrong', 'admin');
  const { server } = await served(t, good);
  let answers = '';
  for (const { key: text } of [good, wrong]) {
    const places = [{ Authorization: `Bearer ${text}` }, { 'X-Volant-API-Key': text }, {}];
    for (const headers of places) {
      for (const target of [
        `GET /api/v1/vms?api_key=${text}`,
        `GET /api/v1/vms/none?key=${text}`,
        `POST /api/v1/vms?api_key=${text}`,
        `GET /nowhere?api_key=${text}`,
        `GET /ws/v1/vms/none/logs?api_key=${text}`,
        `GET /api/v1/vms/none/agent/v1/?api_key=${text}`,
        `POST /api/v1/mcp?api_key=${text}`,
      ]) {
        const body = target.startsWith('POST') ? { body: '{"command": "volant.vms.delete"}' } : {};
        answers += (await ask(server, target, { headers, ...body })).text;
      }
    }
  }
  server.server.close();
  const log = server.log
    .map(({ bindings, ...line }) => {
      const { err } = bindings as { err?: Error };
      return JSON.stringify({ ...line, bindings }) + (err?.stack ?? '') + String(err?.cause ?? '');
    })
    .join('\n');
  assert.match(log, /requests had no API key, or a wrong one/);
  for (const { key: text, stored } of [good, wrong]) {
    for (const secret of [text, stored.sha256]) {
      assert.ok(!log.includes(secret) && !answers.includes(secret));
    }
  }
});

test('the daemon does not start with files of no use, nor open to everybody', async (t) => {
  const { path, write } = keysFile(t);
  const problems = async (settings: Record<string, string>) => {
    const config = loadConfig({ VOLANT_HOME: join(path, '../home'), ...settings });
    return checkGuards(config).then(
      () => '',
      (error: Error) => error.message,
    );
  };
  const file = { VOLANT_API_KEYS_FILE: path };
  const open = { VOLANT_API_LISTEN: '0.0.0.0:7777' };
  assert.match(await problems(file), /keys\.json does not exist/);
  assert.match(await problems(open), /VOLANT_API_KEY.*VOLANT_API_OPEN=yes/);
  for (const settings of [{}, { VOLANT_API_LISTEN: '[::1]:1' }, { VOLANT_API_LISTEN: 'unix:/a' }]) {
    assert.equal(await problems(settings), '');
  }
  const ways = [
    { VOLANT_API_KEY: 'k' },
    { VOLANT_API_OPEN: 'yes' },
    { VOLANT_API_ALLOW_CIDR: '10.0.0.0/8' },
  ];
  for (const way of ways) assert.equal(await problems({ ...open, ...way }), '');
  write(key('one', 'read').stored);
  assert.equal(await problems({ ...file, ...open }), '');
  chmodSync(path, 0o644);
  assert.match(await problems(file), /VOLANT_API_KEYS_FILE: .*mode 644.*chmod 600/);
  chmodSync(path, 0o600);
  for (const text of [
    '{',
    '{"version": 2, "keys": []}',
    '{"version":1,"keys":[{"id":"00000000"}]}',
  ]) {
    writeFileSync(path, text);
    assert.match(await problems(file), /VOLANT_API_KEYS_FILE: keys\.json cannot be used: /);
  }
});
