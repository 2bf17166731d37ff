// schema: every wrong field of a body is reported, in words.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { PluginEnabledSchema } from '../../src/schema/plugin.ts';
import { compileValidator } from '../../src/schema/validate.ts';
import { CreateVmSchema } from '../../src/schema/vm.ts';

const checkVm = compileValidator(CreateVmSchema);

suite('validation', () => {
  test('takes what is right: unknown members, null where the contract has it, zero for unset', () => {
    const bodies = [
      { name: 'web' },
      { name: 'a', plugin: 'hello', cpu_cores: 0, memory_mb: 0, config: null },
      { name: 'a-1', unknown: { x: 1 }, config: { manifest: null, network: null, rootfs: null } },
      { name: 'a', config: { metadata: { any: ['thing', 1, null] }, expose: [] } },
    ];
    for (const body of bodies) assert.equal(checkVm(body), null, JSON.stringify(body));
  });

  test('names every wrong field by its path', () => {
    const problems = checkVm({
      name: 'Not A Name',
      cpu_cores: -1,
      memory_mb: 1.5,
      config: { resources: { cpu_cores: 'two' }, expose: [{ port: 1 }, { port: 'x' }] },
    });
    assert.deepEqual(Object.keys(problems ?? {}).sort(), [
      'config.expose[1].port',
      'config.resources.cpu_cores',
      'cpu_cores',
      'memory_mb',
      'name',
    ]);
    for (const text of Object.values(problems ?? {}))
      assert.doesNotMatch(text, /anyOf|null|schema/);
  });

  test('names what is not as the document says beside what has a wrong type', () => {
    const problems = checkVm({
      name: 7,
      api_host: 'Ω',
      config: {
        network: { mode: 'none', ip_address: 'x' },
        rootfs: { checksum: 'short', format: ' RAW ' },
        expose: [{ port: 70_000, protocol: '' }, { port: 0 }],
        manifest: { name: 'Not A Name', actions: { a: 5 } },
      },
    });
    assert.deepEqual(Object.keys(problems ?? {}).sort(), [
      'api_host',
      'config.expose[0].port',
      'config.expose[1].port',
      'config.manifest.actions.a',
      'config.manifest.name',
      'config.network.ip_address',
      'config.network.mode',
      'config.rootfs.checksum',
      'name',
    ]);
  });

  test('names what is missing and what is no object at all', () => {
    assert.deepEqual(Object.keys(checkVm({}) ?? {}), ['name']);
    assert.deepEqual(Object.keys(compileValidator(PluginEnabledSchema)({}) ?? {}), ['enabled']);
    for (const body of [null, [], 'x', 7])
      assert.deepEqual(Object.keys(checkVm(body) ?? {}), ['body']);
  });

  test('refuses names that are no host names', () => {
    const wrong = ['', '-a', 'a-', 'a_b', 'a.b', '../x', 'A', 'a'.repeat(64), 'a b', 'ä', 'a\n'];
    for (const name of wrong) assert.ok(checkVm({ name }), JSON.stringify(name));
    for (const name of ['a', '0', 'a-b', 'a'.repeat(63)])
      assert.equal(checkVm({ name }), null, name);
  });

  test('a huge wrong body costs a bounded answer', () => {
    const expose = Array.from({ length: 10_000 }, () => ({ port: 'x' }));
    assert.ok(JSON.stringify(checkVm({ name: 'a', config: { expose } })).length < 64 * 1024);
  });
});
