// What every tool answers is what its outputSchema says: checked by both official clients, which read the schemas first, and
// by validators of our own, which also look for members that the schema does not name.

import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/sdk/validation/ajv';
import { Compile } from 'typebox/compile';
import { TOOLS } from '../../src/http/mcp/tools.ts';
import { GENERATIONS, type Json } from './mcp-clients.ts';
import { type Served, serve } from './served.ts';

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
  ['volant.vms.start', { name: 'two' }],
  ['volant.vms.operations', { name: 'two' }],
  ['volant.vms.request', { name: 'two', path: '/' }],
  ['volant.vms.action', { name: 'acting', action: 'greet' }],
  ['volant.vms.logs', { name: 'two' }],
  ['volant.vms.console.read', { name: 'two' }],
  ['volant.vms.console.write', { name: 'two', input: '', timeout: 50 }],
  ['volant.vms.wait', { name: 'two' }],
  ['volant.vms.delete', { name: 'two' }],
  ['volant.deployments.create', { name: 'web', replicas: 1, config, dry_run: true }],
  ['volant.deployments.create', { name: 'web', replicas: 1, config }],
  ['volant.deployments.list', {}],
  ['volant.deployments.get', { name: 'web' }],
  ['volant.deployments.wait', { name: 'web' }],
  ['volant.deployments.scale', { name: 'web', replicas: 2, dry_run: true }],
  ['volant.deployments.scale', { name: 'web', replicas: 2 }],
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

/** A daemon with guests that answer, one of them with an action. */
async function serveGuests(t: TestContext): Promise<Served> {
  const agent: RequestListener = ({ url }, answer) => {
    if (!url?.startsWith('/v1/logs/')) answer.end('{}');
    else answer.write('id: 0\ndata: {"stream": "stdout", "timestamp": "now", "line": "a"}\n\n');
  };
  const served = await serve(t, { agent });
  served.world.hypervisor.openConsole = async () => duplexPair()[0];
  const { engine } = served;
  const acting = {
    ...engine.plugins.get('hello'),
    name: 'mine',
    actions: { greet: { method: 'POST', path: '/greet' } },
  };
  await engine.plugins.install(acting);
  await engine.vms.create({ name: 'acting', plugin: 'mine' });
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
    // What failed is told by the same schema.
    for (const { name } of TOOLS) {
      const failed = await call(name, { name: 7, limit: -1, pci_address: 7, manifest: 7 });
      if (failed.isError === true) assert.match(failed.structuredContent.code, /^[A-Z_]+$/);
    }
  });
}
