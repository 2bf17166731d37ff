// http, mcp: Volant's own command format: {command, params} is answered with 200 and {result, error?} in every case, and
// the first three commands keep their answers.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { TOOLS } from '../../../src/http/mcp/tools/tools.ts';
import { PROJECT_ROOT } from '../../helpers/capabilities.ts';
import { createFakeEngine, vmRecord } from '../fake-engine.ts';
import { ask, errorIn, startServer } from '../harness.ts';
import { serve } from '../served.ts';

// biome-ignore lint/suspicious/noExplicitAny: answers are compared, whatever they hold
type Json = any;

const PATH = '/api/v1/mcp';

async function command(
  served: { call: (...a: [string, string, unknown]) => Promise<Response> },
  body: unknown,
) {
  const response = await served.call('POST', PATH, body);
  return { status: response.status, body: (await response.json()) as Json };
}

test('volant.vms.list answers an array of six members each', async (t) => {
  const served = await serve(t);
  const { status, body } = await command(served, { command: 'volant.vms.list' });
  assert.equal(status, 200);
  assert.deepEqual(Object.keys(body), ['result']);
  const [vm] = body.result;
  assert.equal(body.result.length, 1);
  assert.deepEqual(Object.keys(vm), [
    'id',
    'name',
    'status',
    'ip_address',
    'cpu_cores',
    'memory_mb',
  ]);
  assert.equal(vm.name, 'one');
  assert.equal(vm.status, 'running');
});

test('an argument that is not known is ignored with a warning beside the result', async (t) => {
  const served = await serve(t);
  for (const [name, params, path] of [
    ['volant.vms.create', { name: 'a', plugin: 'hello', memory: 5 }, 'memory'],
    ['volant.vms.create', { name: 'b', plugin: 'hello', config: { expse: [] } }, 'config.expse'],
    ['volant.system.get_capabilities', { all: true }, 'all'],
  ] as const) {
    const { body } = await command(served, { command: name, params });
    assert.match(body.warnings[0], new RegExp(`^${path} is not known and was ignored`));
  }
});

test('volant.vms.list without limits answers all VMs, however many pages they are', async (t) => {
  const fake = createFakeEngine();
  const count = LIMITS.mcpPageMax * 2 + 1;
  for (let id = 1; id <= count; id += 1) fake.vms.put(vmRecord(id, `vm-${id}`));
  const server = await startServer(t, { fake });
  const list = async (params: object) => {
    const body = JSON.stringify({ command: 'volant.vms.list', params });
    return JSON.parse((await ask(server, `POST ${PATH}`, { body })).text).result as Json[];
  };
  const all = await list({});
  assert.equal(new Set(all.map(({ name }) => name)).size, count);
  const page = await list({ limit: 2, offset: 1 });
  assert.deepEqual(
    page.map(({ name }) => name),
    ['vm-2', 'vm-3'],
  );
});

test('volant.vms.create takes the runtime for the plugin and honours resources', async (t) => {
  const served = await serve(t);
  const made = await command(served, {
    command: 'volant.vms.create',
    params: { name: 'two', runtime: 'hello', cpu_cores: 2, memory_mb: 256 },
  });
  assert.equal(made.status, 200);
  assert.deepEqual(Object.keys(made.body), ['result']);
  const { id, ip_address, ...rest } = made.body.result;
  assert.equal(typeof id, 'number');
  assert.match(ip_address, /^\d+\.\d+\.\d+\.\d+$/);
  assert.deepEqual(rest, { name: 'two', status: 'running', cpu_cores: 2, memory_mb: 256 });
  assert.equal((await served.call('GET', '/api/v1/vms/two')).status, 200);
});

test('volant.system.get_capabilities lists every command, itself too, with its parameters', async (t) => {
  const served = await serve(t);
  const { body } = await command(served, { command: 'volant.system.get_capabilities' });
  const { capabilities } = body.result;
  assert.deepEqual(
    capabilities.map(({ name }: Json) => name),
    TOOLS.map(({ name }) => name),
  );
  for (const { description, params } of capabilities) {
    assert.match(description, /\w/);
    for (const text of Object.values<string>(params)) assert.match(text, /required|optional/);
  }
  const create = capabilities.find(({ name }: Json) => name === 'volant.vms.create');
  assert.match(create.params.name, /^string, required: /);
  assert.match(create.params.memory_mb, /^integer, optional: /);
});

test('docs/mcp.md lists the tools with their arguments', () => {
  const page = readFileSync(join(PROJECT_ROOT, 'docs/mcp.md'), 'utf8');
  const rows = [...page.matchAll(/^\| `(volant\.[\w.]+)` \| ?(.*) \| (\w+) \|$/gm)];
  assert.deepEqual(
    rows.map(([, name]) => name),
    TOOLS.map(({ name }) => name),
  );
  for (const [index, { name, input, hints }] of TOOLS.entries()) {
    const [, , listed = '', kind] = rows[index] ?? [];
    const given = [...listed.matchAll(/`(\w+)`/g)].map(([, argument]) => argument ?? '');
    const known = Object.keys(input.properties);
    assert.deepEqual(
      given.filter((argument) => !known.includes(argument)),
      [],
      name,
    );
    if (!listed.includes('and so on')) assert.deepEqual(known.toSorted(), given.toSorted(), name);
    assert.equal(kind === 'reads', hints.readOnlyHint, name);
    assert.equal(kind === 'destructive', hints.destructiveHint, name);
  }
});

test('every command that is listed can be called', async (t) => {
  const served = await serve(t);
  for (const { name } of TOOLS) {
    const { status, body } = await command(served, { command: name, params: { name: 'none' } });
    assert.equal(status, 200, name);
    assert.ok(!/Unknown command/.test(body.error ?? ''), name);
  }
});

test('a command that fails is answered with 200, null and a sentence', async (t) => {
  const served = await serve(t);
  const unknown = await command(served, { command: 'volant.vms.fly' });
  assert.deepEqual(unknown, {
    status: 200,
    body: { result: null, error: 'Unknown command: volant.vms.fly' },
  });
  const taken = await command(served, {
    command: 'volant.vms.create',
    params: { name: 'one', plugin: 'hello' },
  });
  assert.equal(taken.status, 200);
  assert.equal(taken.body.result, null);
  assert.match(taken.body.error, /one/);
  const wrong = await command(served, {
    command: 'volant.vms.create',
    params: { cpu_cores: 'many' },
  });
  assert.equal(wrong.status, 200);
  assert.match(wrong.body.error, /name is required/);
  assert.match(wrong.body.error, /cpu_cores must be an integer/);
});

test('params may be absent or null, and what is unknown in them is ignored', async (t) => {
  const served = await serve(t);
  for (const params of [undefined, null, {}, { colour: 'red' }]) {
    const { status, body } = await command(served, { command: 'volant.vms.list', params });
    assert.equal(status, 200);
    assert.equal(body.result.length, 1);
  }
});

test('what is no command at all is a bad request', async (t) => {
  const server = await startServer(t);
  const bodies: [string, string][] = [
    ['{"command":', 'JSON_INVALID'],
    ['', 'JSON_INVALID'],
    ['{}', 'BODY_INVALID'],
    ['null', 'BODY_INVALID'],
    ['"volant.vms.list"', 'BODY_INVALID'],
    ['{"command":""}', 'BODY_INVALID'],
    ['{"command":7}', 'BODY_INVALID'],
    ['{"command":"volant.vms.list","params":[]}', 'BODY_INVALID'],
    ['{"command":"volant.vms.list","params":"all"}', 'BODY_INVALID'],
  ];
  for (const [body, code] of bodies) {
    const answer = await ask(server, `POST ${PATH}`, { body });
    assert.equal(answer.status, 400, body);
    assert.equal(errorIn(answer).code, code, body);
  }
});

test('a fault of the daemon shows as such and is in the log', async (t) => {
  const fake = createFakeEngine({
    plugins: {
      list: () => {
        throw new Error('secret detail');
      },
    },
  });
  const server = await startServer(t, { fake });
  const body = JSON.stringify({ command: 'volant.plugins.list' });
  const answer = await ask(server, `POST ${PATH}`, { body });
  assert.equal(answer.status, 200);
  assert.doesNotMatch(answer.text, /secret/);
  assert.ok(
    server.log.some(({ level, message }) => level === 'error' && message === 'tool failed'),
  );
});

test('deployments, configs, plugins, events and facts can be had by command', async (t) => {
  const served = await serve(t);
  const run = async (name: string, params: object = {}) => {
    const { body } = await command(served, { command: name, params });
    assert.equal(body.error, undefined, `${name}: ${body.error}`);
    return body.result;
  };
  const config = { plugin: 'hello', resources: { cpu_cores: 1, memory_mb: 128 } };
  const made = await run('volant.deployments.create', { name: 'web', replicas: 1, config });
  assert.equal(made.desired_replicas, 1);
  const scaled = await run('volant.deployments.scale', { name: 'web', replicas: 2 });
  assert.equal(scaled.desired_replicas, 2);
  const { deployments, total } = await run('volant.deployments.list');
  assert.equal(total, 1);
  assert.equal(deployments[0].config, undefined);
  assert.equal((await run('volant.deployments.get', { name: 'web' })).replicas.length, 2);
  const larger = { ...config, resources: { cpu_cores: 1, memory_mb: 256 } };
  await run('volant.deployments.scale', { name: 'web', config: larger });
  const back = await run('volant.deployments.rollback', { name: 'web' });
  assert.deepEqual([back.revision, back.config.resources.memory_mb], [3, 128]);
  const { revisions } = await run('volant.deployments.revisions', { name: 'web' });
  assert.deepEqual(
    revisions.map(({ changes, config: none }: Json) => [changes, none]),
    [
      [['resources.memory_mb'], undefined],
      [['resources.memory_mb'], undefined],
      [[], undefined],
    ],
  );
  assert.equal(revisions[0].restored_from, 1);
  assert.deepEqual(await run('volant.deployments.delete', { name: 'web' }), {
    name: 'web',
    deleted: true,
  });

  const patch = { resources: { memory_mb: 256 } };
  const dry = await run('volant.vms.config.patch', { name: 'one', patch, dry_run: true });
  assert.equal(dry.dry_run, true);
  assert.equal((await run('volant.vms.config.patch', { name: 'one', patch })).version, 2);
  assert.equal((await run('volant.vms.config.get', { name: 'one' })).pending_restart, true);
  assert.equal((await run('volant.vms.config.history', { name: 'one' })).history.length, 2);
  assert.equal((await run('volant.vms.restart', { name: 'one' })).memory_mb, 256);

  assert.deepEqual(await run('volant.plugins.disable', { name: 'hello' }), {
    name: 'hello',
    enabled: false,
  });
  await run('volant.plugins.enable', { name: 'hello' });
  assert.ok((await run('volant.plugins.list')).plugins.includes('hello'));
  assert.equal((await run('volant.plugins.get', { name: 'hello' })).name, 'hello');

  assert.equal((await run('volant.vms.stop', { name: 'one' })).status, 'stopped');
  assert.equal((await run('volant.vms.start', { name: 'one' })).status, 'running');
  assert.equal((await run('volant.vms.delete', { name: 'one' })).deleted, true);

  const first = await run('volant.events.list', { after: 0, limit: 2 });
  assert.deepEqual(
    first.events.map(({ sequence }: Json) => sequence),
    [1, 2],
  );
  assert.equal(first.next_after, 2);
  const newest = await run('volant.events.list', { limit: 1 });
  assert.equal(newest.events[0].type, 'VM_DELETED');
  assert.equal(newest.last_sequence, newest.next_after);
  assert.equal((await run('volant.system.status')).vm_count, 0);
  assert.match((await run('volant.system.info')).version, /^\d/);
});
