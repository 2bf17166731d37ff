// What a client relies on when it creates, starts, stops and deletes VMs, on a world of fakes.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { VolantError } from '../../../src/lib/errors.ts';
import type { Vm } from '../../../src/schema/vm.ts';
import { engineOn, leftovers, NOTHING_LEFT, newWorld, type World } from '../fakes.ts';

const code = (wanted: string) => (error: unknown) =>
  error instanceof VolantError && error.code === wanted;

function typesOf({ store }: World): string[] {
  const types = store.events.map(({ body }) => body.type);
  return types.filter((type) => type.startsWith('VM_'));
}

suite('create', () => {
  test('answers with a running VM that has its address, process and console', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const vm: Vm = JSON.parse(await engine.vms.create({ name: 'web', plugin: 'hello' }));
    assert.equal(vm.status, 'running');
    assert.equal(vm.ip_address, '192.168.127.10');
    assert.equal(vm.pid, 1000);
    assert.equal(vm.cpu_cores, 1);
    assert.match(
      vm.kernel_cmdline,
      /ip=192\.168\.127\.10::192\.168\.127\.1:255\.255\.255\.0:web:eth0/,
    );
    assert.match(vm.serial_socket, /\/1\/serial\.sock$/);
    assert.deepEqual(typesOf(world), ['VM_CREATED', 'VM_RUNNING']);
    assert.equal(engine.vms.get('web'), JSON.stringify(vm));
  });

  test('takes the plugin that the runtime names where nothing else names one', async () => {
    const { engine } = await engineOn(newWorld());
    const vm: Vm = JSON.parse(await engine.vms.create({ name: 'web', runtime: 'hello' }));
    assert.equal(vm.plugin, 'hello');
    await assert.rejects(engine.vms.create({ name: 'two' }), { code: 'BODY_INVALID' });
  });

  test('of two creates of one name at the same instant exactly one wins', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const attempts = await Promise.allSettled(
      Array.from({ length: 10 }, () => engine.vms.create({ name: 'web', plugin: 'hello' })),
    );
    assert.equal(attempts.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const attempt of attempts) {
      if (attempt.status === 'rejected') assert.ok(code('VM_NAME_TAKEN')(attempt.reason));
    }
    assert.equal(world.host.processes.size, 1);
  });

  for (const step of ['ensureNetwork', 'run directory', 'tap', 'launch']) {
    test(`leaves nothing and answers with the error when ${step} fails`, async () => {
      const world = newWorld();
      const { engine } = await engineOn(world);
      world.host.failures.set(step, new VolantError('HOST_OPERATION_FAILED', `${step} broke`));
      const created = engine.vms.create({ name: 'web', plugin: 'hello' });
      await assert.rejects(created, (error) => (error as Error).message === `${step} broke`);
      assert.deepEqual(leftovers(world), NOTHING_LEFT);
      assert.deepEqual(typesOf(world), ['VM_CREATED', 'VM_DELETED']);
      world.host.failures.clear();
      await engine.vms.create({ name: 'web', plugin: 'hello' });
    });
  }

  test('reports the last lines of a hypervisor that dies, and leaves nothing', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    world.host.logTail = ['qemu: no such device'];
    world.hypervisor.beforeConnect = () => {
      for (const process of world.host.processes.values()) process.end({ code: 1, signal: null });
      return new Promise(() => undefined);
    };
    await assert.rejects(engine.vms.create({ name: 'web', plugin: 'hello' }), (error) => {
      assert.ok(error instanceof VolantError);
      assert.equal(error.code, 'HYPERVISOR_FAILED');
      assert.equal(error.details?.['hypervisor'], 'qemu: no such device');
      return true;
    });
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('says what to do when another program has its vsock address', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create({ name: 'web', plugin: 'hello' });
    await engine.vms.stop('web');
    const why = 'unable to set guest cid: Address already in use';
    world.host.logTail = [`qemu: -device vhost-vsock-device,guest-cid=7: vhost-vsock: ${why}`];
    world.hypervisor.beforeConnect = () => {
      for (const process of world.host.processes.values()) process.end({ code: 1, signal: null });
      return new Promise(() => undefined);
    };
    await assert.rejects(engine.vms.start('web'), code('CID_TAKEN'));
  });

  test('leaves nothing when the result cannot be stored', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    world.store.beforeCommit = (events) => {
      if (events[0]?.type === 'VM_RUNNING') throw new VolantError('STORE_UNAVAILABLE');
    };
    const created = engine.vms.create({ name: 'web', plugin: 'hello' });
    await assert.rejects(created, code('STORE_UNAVAILABLE'));
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('gives the address back when not even the intent could be stored', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    world.store.beforeCommit = () => {
      throw new VolantError('STORE_UNAVAILABLE');
    };
    await assert.rejects(
      engine.vms.create({ name: 'web', plugin: 'hello' }),
      code('STORE_UNAVAILABLE'),
    );
    world.store.beforeCommit = () => undefined;
    const vm: Vm = JSON.parse(await engine.vms.create({ name: 'web', plugin: 'hello' }));
    assert.equal(vm.ip_address, '192.168.127.10');
  });

  test('costs nothing when the plugin, the kernel or the request is at fault', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const { vms } = engine;
    await assert.rejects(vms.create({ name: 'web', plugin: 'nope' }), code('PLUGIN_NOT_FOUND'));
    await assert.rejects(vms.create({ name: 'web' }), code('BODY_INVALID'));
    const other = { name: 'web', plugin: 'hello', config: { plugin: 'other' } };
    await assert.rejects(vms.create(other), code('PLUGIN_MISMATCH'));
    const long = { name: 'web', plugin: 'hello', kernel_cmdline: 'x'.repeat(2000) };
    await assert.rejects(vms.create(long), code('CMDLINE_TOO_LONG'));
    await engine.plugins.setEnabled('hello', false);
    await assert.rejects(vms.create({ name: 'web', plugin: 'hello' }), code('PLUGIN_DISABLED'));
    await engine.plugins.setEnabled('hello', true);
    world.host.failures.set('findKernel', new VolantError('KERNEL_MISSING'));
    await assert.rejects(vms.create({ name: 'web', plugin: 'hello' }), code('KERNEL_MISSING'));
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    assert.deepEqual(typesOf(world), []);
  });

  test('a manifest too long for the command line goes over the channel, whole', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const plugin = engine.plugins.get('hello');
    const noise = Array.from({ length: 400 }, (_, index) => `${index}:${(index * 7919) % 1009}`);
    const env = { NOISE: noise.join(',') };
    await engine.plugins.install({
      ...plugin,
      workload: { ...plugin.workload, entrypoint: ['/x'], env },
    });
    const vm: Vm = JSON.parse(await engine.vms.create({ name: 'web', plugin: 'hello' }));
    assert.equal(vm.status, 'running');
    assert.equal(JSON.parse(world.hypervisor.manifests[0] ?? '{}').workload.env.NOISE, env.NOISE);
  });

  test('without a bridged network there is no address and no tap', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const config = { network: { mode: 'vsock' } };
    const vm: Vm = JSON.parse(await engine.vms.create({ name: 'a', plugin: 'hello', config }));
    const other: Vm = JSON.parse(await engine.vms.create({ name: 'b', plugin: 'hello', config }));
    assert.equal(vm.ip_address, '');
    assert.notEqual(vm.vsock_cid, other.vsock_cid);
    assert.equal(world.host.taps.size, 0);
    assert.doesNotMatch(vm.kernel_cmdline, /ip=/);
  });
});

suite('start and stop', () => {
  test('stop is idempotent and emits one event', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create({ name: 'web', plugin: 'hello' });
    const vm: Vm = JSON.parse(await engine.vms.stop('web'));
    assert.equal(vm.status, 'stopped');
    assert.equal(vm.pid, undefined);
    assert.equal(vm.ip_address, '192.168.127.10');
    assert.deepEqual([world.host.taps.size, world.host.processes.size], [0, 0]);
    await engine.vms.stop('web');
    assert.deepEqual(typesOf(world).slice(2), ['VM_STOPPING', 'VM_STOPPED']);
  });

  test('start of a running VM is a conflict, of two starts one wins', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create({ name: 'web', plugin: 'hello' });
    await assert.rejects(engine.vms.start('web'), code('VM_STATE_CONFLICT'));
    await engine.vms.stop('web');
    const starts = await Promise.allSettled([engine.vms.start('web'), engine.vms.start('web')]);
    assert.deepEqual(starts.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    assert.equal(world.host.processes.size, 1);
  });

  test('a failed start says stopped and why', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create({ name: 'web', plugin: 'hello' });
    await engine.vms.stop('web');
    world.host.failures.set('launch', new VolantError('HYPERVISOR_FAILED', 'no'));
    await assert.rejects(engine.vms.start('web'), code('HYPERVISOR_FAILED'));
    assert.equal(JSON.parse(engine.vms.get('web') ?? '{}').status, 'stopped');
    assert.equal(world.store.events.at(-1)?.body.message, 'no');
    assert.equal(world.host.taps.size, 0);
  });

  test('restart keeps address and id and gets a new process', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const before: Vm = JSON.parse(await engine.vms.create({ name: 'web', plugin: 'hello' }));
    const after: Vm = JSON.parse(await engine.vms.restart('web'));
    assert.deepEqual([after.id, after.ip_address], [before.id, before.ip_address]);
    assert.notEqual(after.pid, before.pid);
    assert.equal(world.host.processes.size, 1);
  });
});

suite('destroy', () => {
  test('leaves nothing; the second one is not found; the address rests', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create({ name: 'web', plugin: 'hello' });
    const twice = await Promise.allSettled([engine.vms.destroy('web'), engine.vms.destroy('web')]);
    assert.deepEqual(
      twice.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    const vm: Vm = JSON.parse(await engine.vms.create({ name: 'web', plugin: 'hello' }));
    assert.equal(vm.ip_address, '192.168.127.11');
    assert.notEqual(vm.id, 1);
  });

  test('during a create waits for it and then removes the VM', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    let release: () => void = () => undefined;
    const connected = new Promise<void>((resolve) => {
      release = resolve;
    });
    world.hypervisor.beforeConnect = () => connected;
    const created = engine.vms.create({ name: 'web', plugin: 'hello' });
    while (engine.vms.get('web') === undefined) await new Promise(setImmediate);
    const destroyed = engine.vms.destroy('web');
    release();
    await Promise.allSettled([created, destroyed]);
    await destroyed;
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('gives back tap and files at the same time, and the record last', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create({ name: 'web', plugin: 'hello' });
    let release: () => void = () => undefined;
    const removed = new Promise<void>((resolve) => {
      release = resolve;
    });
    const removeTap = world.host.removeTap.bind(world.host);
    world.host.removeTap = (tapName) => removed.then(() => removeTap(tapName));
    const destroyed = engine.vms.destroy('web');
    const signal = AbortSignal.timeout(5_000);
    while (world.host.runDirectories.size > 0 || world.host.cgroups.size > 0) {
      signal.throwIfAborted();
      await new Promise(setImmediate);
    }
    assert.equal(JSON.parse(engine.vms.get('web') ?? '{}').status, 'deleting');
    release();
    await destroyed;
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('that cannot release a tap stays deleting and can be repeated', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create({ name: 'web', plugin: 'hello' });
    world.host.failures.set('removeTap', new VolantError('HOST_OPERATION_FAILED'));
    await assert.rejects(engine.vms.destroy('web'), code('HOST_OPERATION_FAILED'));
    assert.equal(JSON.parse(engine.vms.get('web') ?? '{}').status, 'deleting');
    world.host.failures.clear();
    await engine.vms.destroy('web');
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });
});

suite('an end that nobody asked for', () => {
  const cases = [
    {
      name: 'power-off',
      exit: { code: 0, signal: null },
      guestEnd: 'power-off',
      status: 'stopped',
    },
    { name: 'kernel panic', exit: { code: 0, signal: null }, guestEnd: 'reset', status: 'crashed' },
    {
      name: 'kill',
      exit: { code: null, signal: 'SIGKILL' },
      guestEnd: undefined,
      status: 'crashed',
    },
    { name: 'failure', exit: { code: 1, signal: null }, guestEnd: undefined, status: 'crashed' },
    {
      name: 'unknown end',
      exit: { code: null, signal: null },
      guestEnd: undefined,
      status: 'crashed',
    },
  ] as const;
  for (const { name, exit, guestEnd, status } of cases) {
    test(`${name}: the VM is ${status} and its tap is gone`, async () => {
      const world = newWorld();
      const { engine } = await engineOn(world);
      await engine.vms.create({ name: 'web', plugin: 'hello' });
      world.hypervisor.guestEnd = guestEnd;
      const told = new Promise((resolve) => engine.events.subscribe(resolve));
      for (const process of world.host.processes.values()) process.end(exit);
      await told;
      const vm: Vm = JSON.parse(engine.vms.get('web') ?? '{}');
      assert.equal(vm.status, status);
      assert.equal(vm.pid, undefined);
      assert.equal(world.host.taps.size, 0);
    });
  }
});
