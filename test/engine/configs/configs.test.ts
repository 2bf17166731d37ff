// What a client relies on when it changes a config: one change is one version, nothing is lost between
// two clients, and what is wrong is named.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { mergeConfig } from '../../../src/engine/configs/config-merge.ts';
import type { EngineControl } from '../../../src/engine/engine.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import type { VmConfig } from '../../../src/schema/vm-config.ts';
import { engineOn, newWorld, type World } from '../fakes.ts';

async function withVm(): Promise<{ world: World; engine: EngineControl['engine'] }> {
  const world = newWorld();
  const { engine } = await engineOn(world);
  await engine.vms.create({ name: 'a', plugin: 'hello' });
  return { world, engine };
}

suite('a change', () => {
  test('makes the next version, which a running VM takes at its next start', async () => {
    const { engine, world } = await withVm();
    const changed = await engine.configs.patch('a', { resources: { memory_mb: 256 } });
    assert.equal(changed.version, 2);
    assert.equal(changed.pending_restart, true);
    assert.equal(JSON.parse(engine.vms.get('a') ?? '').memory_mb, 128, 'the guest has what it had');
    await engine.vms.restart('a');
    assert.equal(JSON.parse(engine.vms.get('a') ?? '').memory_mb, 256);
    assert.equal(engine.configs.get('a').pending_restart, false);
    const types = world.store.events.map(({ body }) => body.type);
    assert.equal(types.filter((type) => type === 'CONFIG_CHANGED').length, 1);
  });

  test('needs no restart where a launch would be as the last one was, also when it was taken back', async () => {
    const { engine } = await withVm();
    const pending = async (patch: object) => {
      const planned = engine.configs.planPatch('a', patch)['pending_restart'];
      const { pending_restart } = await engine.configs.patch('a', patch);
      assert.equal(planned, pending_restart);
      return pending_restart;
    };
    assert.equal(await pending({ metadata: { team: 'blue' } }), false);
    assert.equal(await pending({ resources: { memory_mb: 256 } }), true);
    assert.equal(await pending({ metadata: { team: 'red' } }), true);
    assert.equal(await pending({ resources: { memory_mb: 128 } }), false);
    assert.equal(engine.configs.get('a').pending_restart, false);
  });

  test('of egress rules holds the running guest to them at once, and a start to the newest ones', async () => {
    const { engine, world } = await withVm();
    const tap = [...world.host.taps][0] ?? '';
    const set = (egress: object | null) =>
      engine.configs.patch('a', { network: { mode: 'bridged', egress } } as object);
    const rules = { default: 'deny', allow: ['10.0.0.0/8'], deny: [] } as const;
    const first = await set({ default: 'Deny', allow: ['10.0.0.0/8'] });
    assert.deepEqual(first.config.network?.egress, rules);
    assert.deepEqual(world.host.egress.get(tap), rules);
    assert.equal((await set({ default: 'allow' })).version, 3);
    assert.equal(world.host.egress.get(tap)?.default, 'allow');
    await set(null);
    assert.equal(world.host.egress.get(tap), null, 'none any more');
    world.host.egress.clear();
    await engine.vms.stop('a');
    await set(rules);
    assert.equal(world.host.egress.size, 0, 'a VM that does not run has nothing to be held');
    await engine.vms.start('a');
    assert.deepEqual(world.host.launches.at(-1)?.tap?.guest.egress, rules);
    assert.deepEqual((await engine.egress.status('a')).rules, rules);
  });

  test('of egress rules that the host cannot make is refused, and the guest keeps what it had', async () => {
    const { engine, world } = await withVm();
    const tap = [...world.host.taps][0] ?? '';
    const set = (egress: object) =>
      engine.configs.patch('a', { network: { mode: 'bridged', egress } } as object);
    await set({ default: 'allow' });
    const failure = new VolantError('HOST_OPERATION_FAILED', 'Egress rules cannot be set up');
    world.host.failures.set('setEgress', failure);
    await assert.rejects(set({ default: 'deny' }), { code: 'HOST_OPERATION_FAILED' });
    assert.equal(engine.configs.get('a').version, 2);
    assert.equal(world.host.egress.get(tap)?.default, 'allow');
  });

  test('that changes nothing makes no version and no event, and a dry run says so', async () => {
    const { engine, world } = await withVm();
    await engine.configs.patch('a', { metadata: { team: 'blue' }, expose: [] });
    const events = world.store.events.length;
    const { config } = engine.configs.get('a');
    const nothing = [{}, { nope: 1 }, { metadata: { team: 'blue' } }, config] as object[];
    for (const patch of nothing) {
      assert.deepEqual(engine.configs.planPatch('a', patch).actions, []);
      assert.equal((await engine.configs.patch('a', patch)).version, 2, JSON.stringify(patch));
    }
    assert.equal(world.store.events.length, events);
    assert.equal(engine.configs.history('a').length, 2);
    await assert.rejects(engine.configs.patch('a', {}, 1), { code: 'VERSION_MISMATCH' });
  });

  test('of 50 changes of one version one is made, the others are refused', async () => {
    const { engine } = await withVm();
    const results = await Promise.allSettled(
      Array.from({ length: 50 }, (_, index) =>
        engine.configs.patch('a', { metadata: { index } }, 1),
      ),
    );
    const codes = results.map((result) =>
      result.status === 'fulfilled' ? 'made' : (result.reason as VolantError).code,
    );
    assert.equal(codes.filter((code) => code === 'made').length, 1);
    assert.equal(codes.filter((code) => code === 'VERSION_MISMATCH').length, 49);
    assert.equal(engine.configs.get('a').version, 2);
  });

  test('without a condition every one of 50 is a version', async () => {
    const { engine } = await withVm();
    await Promise.all(
      Array.from({ length: 50 }, (_, index) => engine.configs.patch('a', { metadata: { index } })),
    );
    assert.equal(engine.configs.get('a').version, 51);
    const versions = engine.configs.history('a').map(({ version }) => version);
    assert.deepEqual(
      versions.toSorted((a, b) => a - b),
      Array.from({ length: 51 }, (_, index) => index + 1),
    );
  });

  test('names every field that is wrong and changes nothing', async () => {
    const { engine } = await withVm();
    await assert.rejects(
      engine.configs.patch('a', {
        resources: { cpu_cores: LIMITS.cpuCoresMax + 1, memory_mb: 1 },
        kernel_cmdline: 'volant.boot=rootfs',
        expose: [{ port: 0, host_port: 80 }],
        api: { port: 'many' },
      }),
      (error: VolantError) => {
        assert.equal(error.code, 'BODY_INVALID');
        assert.deepEqual(Object.keys(error.details ?? {}).toSorted(), [
          'api.port',
          'expose[0].port',
          'kernel_cmdline',
          'resources.cpu_cores',
          'resources.memory_mb',
        ]);
        return true;
      },
    );
    assert.equal(engine.configs.get('a').version, 1);
  });

  test('keeps only so many versions', async () => {
    const { engine, world } = await withVm();
    for (let count = 0; count < LIMITS.configVersionsMax + 5; count += 1) {
      await engine.configs.patch('a', { metadata: { count } });
    }
    assert.equal(world.store.stored.size, LIMITS.configVersionsMax);
    await engine.vms.destroy('a');
    assert.equal(world.store.stored.size, 0);
  });
});

suite('the network mode', () => {
  test('of a running VM cannot change', async () => {
    const { engine } = await withVm();
    await assert.rejects(engine.configs.patch('a', { network: { mode: 'vsock' } }), {
      code: 'VM_STATE_CONFLICT',
    });
  });

  test('of a stopped VM changes with its leases', async () => {
    const { engine, world } = await withVm();
    await engine.vms.stop('a');
    await engine.configs.patch('a', { network: { mode: 'vsock' } });
    assert.equal(JSON.parse(engine.vms.get('a') ?? '').ip_address, '');
    const held = [...world.store.addresses.values()].filter(({ vmId }) => vmId !== null);
    assert.equal(held.length, 0);
    await engine.configs.patch('a', { network: null });
    await engine.vms.start('a');
    const { ip_address } = JSON.parse(engine.vms.get('a') ?? '');
    assert.notEqual(ip_address, '');
    assert.equal(world.store.addresses.get(ip_address)?.vmId, 1);
    assert.equal(world.host.taps.size, 1);
  });
});

suite('what a guest would not take', () => {
  test('is refused when a config is resolved: what is accepted can be launched', async () => {
    const { engine } = await withVm();
    const accepts = async (length: number) => {
      try {
        await engine.configs.patch('a', { kernel_cmdline: 'x'.repeat(length) });
        return true;
      } catch (error) {
        assert.equal((error as VolantError).code, 'CMDLINE_TOO_LONG');
        return false;
      }
    };
    let [fits, tooLong] = [0, 2048];
    while (tooLong - fits > 1) {
      const middle = Math.floor((fits + tooLong) / 2);
      if (await accepts(middle)) fits = middle;
      else tooLong = middle;
    }
    assert.ok(fits > 1000, `${fits} bytes`);
    await accepts(fits);
    await engine.vms.restart('a');
    const { name } = JSON.parse(engine.vms.get('a') ?? '');
    assert.equal(name, 'a');
    // The longest name that there may be needs the most room.
    const config = { kernel_cmdline: 'x'.repeat(fits) };
    await engine.vms.create({ name: 'n'.repeat(63), plugin: 'hello', config });
  });

  test('is refused with its field though a former version has installed it', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const manifest = engine.plugins.get('hello') as { health_check: object };
    manifest.health_check = { endpoint: 'no slash', timeout_ms: 0 };
    await assert.rejects(engine.vms.create({ name: 'b', plugin: 'hello' }), (error) => {
      const { code, details } = error as VolantError;
      assert.equal(code, 'BODY_INVALID');
      return Object.keys(details ?? {}).join() === 'manifest.health_check.endpoint';
    });
  });
});

suite('what a change asks for', () => {
  const at = (ip_address: string, mode = 'bridged') => ({ network: { mode, ip_address } });

  test('may be the address that the VM has, under another network mode', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world, { VOLANT_DHCP_SERVER: 'dnsmasq' });
    const config = { network: { mode: 'dhcp' } };
    await engine.vms.create({ name: 'a', plugin: 'hello', config });
    const { ip_address } = JSON.parse(engine.vms.get('a') ?? '');
    await engine.vms.stop('a');
    const patches = [at(ip_address), { network: { mode: 'dhcp' } }, { network: null }];
    for (const patch of patches) {
      await engine.configs.patch('a', patch);
      assert.equal(JSON.parse(engine.vms.get('a') ?? '').ip_address, ip_address);
      assert.equal(world.store.addresses.get(ip_address)?.vmId, 1);
    }
    await engine.vms.create({ name: 'b', plugin: 'hello' });
    assert.notEqual(JSON.parse(engine.vms.get('b') ?? '').ip_address, ip_address);
  });

  test('is refused by a dry run, too, when another has it, and nothing is taken', async () => {
    const { engine } = await withVm();
    const taken = { port: 80, host_port: 8080 };
    const config = { expose: [taken], ...at('192.168.127.77') };
    await engine.vms.create({ name: 'b', plugin: 'hello', config });
    const dryRun = (patch: object) => () => engine.configs.planPatch('a', patch);
    assert.throws(dryRun({ expose: [taken] }), { code: 'PORT_TAKEN' });
    await engine.vms.stop('a');
    assert.throws(dryRun(at('192.168.127.77')), { code: 'ADDRESS_TAKEN' });
    assert.equal(dryRun(at('192.168.127.78'))()['version'], 2);
    const other = { name: 'c', plugin: 'hello', config: at('192.168.127.78') };
    await engine.vms.create(other);
  });
});

suite('merging', () => {
  const current = {
    plugin: 'hello',
    runtime: 'hello',
    kernel_cmdline: 'quiet',
    resources: { cpu_cores: 2, memory_mb: 512 },
    api: { host: 'h', port: '1' },
    metadata: { a: 1, b: 2 },
    expose: [{ port: 80, host_port: 8080 }],
    manifest: { name: 'hello' },
  } as unknown as VmConfig;

  test('absent keeps, null removes what may be absent', () => {
    const merged = mergeConfig(current, { metadata: null, expose: null, kernel_cmdline: null });
    assert.equal('metadata' in merged, false);
    assert.equal('expose' in merged, false);
    assert.equal(merged.kernel_cmdline, 'quiet');
    assert.deepEqual(mergeConfig(current, {}), current);
  });

  test('resources and api are merged by member, where 0 and "" keep', () => {
    const merged = mergeConfig(current, {
      resources: { cpu_cores: 0, memory_mb: 1024 },
      api: { host: '', port: '2' },
    });
    assert.deepEqual(merged.resources, { cpu_cores: 2, memory_mb: 1024 });
    assert.deepEqual(merged.api, { host: 'h', port: '2' });
  });

  test('objects are replaced as a whole, the empty text clears, the plugin stays', () => {
    const merged = mergeConfig(current, {
      metadata: { c: 3 },
      kernel_cmdline: '',
      plugin: 'other',
    });
    assert.deepEqual(merged.metadata, { c: 3 });
    assert.equal(merged.kernel_cmdline, '');
    assert.equal(merged.plugin, 'hello');
  });
});
