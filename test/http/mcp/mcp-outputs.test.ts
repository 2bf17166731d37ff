// http, mcp: the answer of every tool matches its outputSchema. Both official clients check it, and so do validators here,
// which also find members that the schema does not name.

import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/sdk/validation/ajv';
import { Compile } from 'typebox/compile';
import { TOOLS } from '../../../src/http/mcp/tools/tools.ts';
import { type Served, serve } from '../served.ts';
import { answerExec, attachExec } from './fake-execs.ts';
import { GENERATIONS, type Json } from './mcp-clients.ts';

const DEVICE = '0000:01:00.0';
const devices = { pci_addresses: [DEVICE] };
const config = { plugin: 'hello', resources: { cpu_cores: 1, memory_mb: 128 } };
const patch = { resources: { memory_mb: 256 } };

/** In order: each works on what the ones before have left. */
const CALLS: readonly (readonly [string, Record<string, unknown>])[] = [
  ['volant.system.get_capabilities', {}],
  ['volant.system.info', {}],
  ['volant.system.status', {}],
  ['volant.system.summary', {}],
  ['volant.system.audit', {}],
  ['volant.system.repair', {}],
  ['volant.plugins.list', {}],
  ['volant.plugins.get', { name: 'hello' }],
  ['volant.plugins.disable', { name: 'hello' }],
  ['volant.plugins.enable', { name: 'hello' }],
  ['volant.vms.create', { name: 'two', plugin: 'hello', dry_run: true }],
  ['volant.vms.create', { name: 'two', plugin: 'hello' }],
  ['volant.vms.create', { name: 'three', plugin: 'hello', wait: 'accepted' }],
  ['volant.vms.list', {}],
  ['volant.vms.get', { name: 'two' }],
  ['volant.vms.config.get', { name: 'two' }],
  ['volant.vms.config.patch', { name: 'two', patch, dry_run: true }],
  ['volant.vms.config.patch', { name: 'two', patch }],
  ['volant.vms.config.history', { name: 'two' }],
  ['volant.vms.restart', { name: 'two' }],
  ['volant.vms.stop', { name: 'two' }],
  ['volant.vms.deadline', { name: 'two', seconds: 60 }],
  ['volant.vms.start', { name: 'two' }],
  ['volant.vms.operations', { name: 'two' }],
  ['volant.vms.result', { name: 'acting' }],
  ['volant.vms.request', { name: 'two', path: '/' }],
  ['volant.vms.files.read', { name: 'two', path: '/f' }],
  ['volant.vms.files.write', { name: 'two', path: '/f', content: '{}' }],
  ['volant.vms.files.list', { name: 'two', path: '/' }],
  ['volant.vms.action', { name: 'acting', action: 'greet' }],
  ['volant.vms.logs', { name: 'two' }],
  ['volant.vms.console.read', { name: 'two' }],
  ['volant.vms.console.write', { name: 'two', input: '', timeout: 50 }],
  ['volant.vms.exec', { name: 'two', argv: ['true'], wait: 5_000 }],
  ['volant.vms.exec.output', { name: 'two', id: 'a1' }],
  ['volant.vms.exec.list', { name: 'two' }],
  ['volant.vms.exec.stdin', { name: 'two', id: 'a1', input: 'x' }],
  ['volant.vms.exec.signal', { name: 'two', id: 'a1', signal: 'TERM' }],
  ['volant.images.pull', { image: 'app:1' }],
  ['volant.images.list', {}],
  ['volant.images.get', { image: 'app:1' }],
  ['volant.images.run', { image: 'app:1', args: ['true'], wait: 5_000 }],
  ['volant.images.run', { image: 'app:1', entrypoint: ['true'], name: 'kept', keep: true }],
  ['volant.images.remove', { image: 'app:1' }],
  ['volant.vms.wait', { name: 'two' }],
  ['volant.vms.delete', { name: 'two' }],
  ['volant.deployments.create', { name: 'web', replicas: 1, config, dry_run: true }],
  ['volant.deployments.create', { name: 'web', replicas: 1, config }],
  ['volant.deployments.list', {}],
  ['volant.deployments.get', { name: 'web' }],
  ['volant.deployments.wait', { name: 'web' }],
  ['volant.deployments.scale', { name: 'web', replicas: 2, dry_run: true }],
  ['volant.deployments.scale', { name: 'web', replicas: 2 }],
  ['volant.deployments.scale', { name: 'web', config: { ...config, metadata: { a: 1 } } }],
  ['volant.deployments.revisions', { name: 'web' }],
  ['volant.deployments.rollback', { name: 'web', dry_run: true }],
  ['volant.deployments.rollback', { name: 'web', revision: 1 }],
  ['volant.deployments.delete', { name: 'web' }],
  ['volant.devices.get', { pci_address: DEVICE }],
  ['volant.devices.validate', devices],
  ['volant.devices.validate', { pci_addresses: ['0000:99:00.0'] }],
  ['volant.devices.groups', devices],
  ['volant.devices.bind', devices],
  ['volant.devices.group_paths', devices],
  ['volant.devices.unbind', devices],
  ['volant.events.list', {}],
  ['volant.events.list', { after: 0, limit: 1 }],
];

/** What an agent says about a file. */
const FACTS = JSON.stringify({
  ...{ name: 'f', type: 'file', size: 2, mode: '0644', uid: 0, gid: 0, links: 1, etag: '"1"' },
  ...{ mtime: '2026-01-01T00:00:00.000Z', entries: [], more: false },
});

/** A daemon with guests that answer, one of them with an action. */
async function serveGuests(t: TestContext): Promise<Served> {
  const agent: RequestListener = (request, answer) => {
    const { url, method } = request;
    if (answerExec(request, answer)) return;
    if (url?.startsWith('/agent/files/?') || method === 'PUT') answer.end(FACTS);
    else if (!url?.startsWith('/v1/logs/')) answer.end('{}');
    else answer.write('id: 0\ndata: {"stream": "stdout", "timestamp": "now", "line": "a"}\n\n');
  };
  const served = await serve(t, { agent, upgrade: attachExec });
  served.world.hypervisor.openConsole = async () => duplexPair()[0];
  const { engine } = served;
  const acting = {
    ...engine.plugins.get('hello'),
    name: 'mine',
    actions: { greet: { method: 'POST', path: '/greet' } },
  };
  await engine.plugins.install(acting);
  const { id: vmId } = JSON.parse(await engine.vms.create({ name: 'acting', plugin: 'mine' }));
  const result = { vmId, isJson: true, text: '{}', sizeBytes: 2, postedAtMs: 0 };
  served.world.store.results.set(vmId, result);
  return served;
}

/** What a plan tells beside what every plan has. */
const isPlan = (result: Json) => result.dry_run === true;

for (const [title, connect] of GENERATIONS) {
  test(`every tool answers what its outputSchema says: ${title}`, async (t) => {
    const served = await serveGuests(t);
    served.world.host.addDevice({ address: DEVICE, driver: 'host' });
    const client = await connect(t, served);
    const { tools } = await client.listTools();
    const schemas = new Map<string, Json>(
      tools.map(({ name, outputSchema }: Json) => [name, outputSchema] as const),
    );
    const ajv = new AjvJsonSchemaValidator();
    const called = new Set<string>();
    const call = async (name: string, args: Record<string, unknown>) => {
      const schema = schemas.get(name);
      assert.equal(schema?.type, 'object', name);
      const result = await client.callTool({ name, arguments: args });
      const { structuredContent, content } = result;
      if (result.isError !== true) {
        assert.deepEqual(JSON.parse(content[0].text), structuredContent, name);
      }
      const { valid, errorMessage } = ajv.getValidator<Json>(schema)(structuredContent);
      assert.ok(valid, `${name}: ${errorMessage} ${JSON.stringify(structuredContent)}`);
      assert.ok(Compile(schema as object).Check(structuredContent), name);
      const unnamed = Object.keys(structuredContent as object).filter(
        (key) => !(key in schema.properties),
      );
      if (!isPlan(structuredContent)) assert.deepEqual(unnamed, [], name);
      return result;
    };
    const own = { ...served.engine.plugins.get('hello'), name: 'other' };
    const plugins: typeof CALLS = [
      ['volant.plugins.install', { manifest: own }],
      ['volant.plugins.remove', { name: own.name }],
    ];
    for (const [name, args] of [...CALLS, ...plugins]) {
      const result = await call(name, args);
      assert.notEqual(result.isError, true, `${name}: ${JSON.stringify(result.content)}`);
      called.add(name);
    }
    assert.deepEqual(
      TOOLS.map(({ name }) => name).filter((name) => !called.has(name)),
      [],
      'tools that no call tries',
    );
    // What no program can be given is refused before a VM is made.
    const before = (await call('volant.vms.list', {})).structuredContent.total;
    const refused = await call('volant.images.run', { image: 'app:1', args: ['a\0b'] });
    assert.equal(refused.structuredContent.code, 'BODY_INVALID');
    assert.match(refused.structuredContent.details['args[0]'] ?? '', /./);
    assert.equal((await call('volant.vms.list', {})).structuredContent.total, before);
    // What failed is told by the same schema.
    for (const { name } of TOOLS) {
      const failed = await call(name, { name: 7, limit: -1, pci_address: 7, manifest: 7 });
      if (failed.isError === true) assert.match(failed.structuredContent.code, /^[A-Z_]+$/);
    }
  });
}
