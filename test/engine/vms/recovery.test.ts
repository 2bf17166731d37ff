// What a start of the daemon does with what an earlier one left, on a world of fakes: a second engine
// on the same world is a restart after a kill.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import type { VmRecord } from '../../../src/engine/records.ts';
import { changed } from '../../../src/engine/vm-record/status.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import type { Vm } from '../../../src/schema/vm.ts';
import { engineOn, leftovers, NOTHING_LEFT, newWorld, preparedOn, type World } from '../fakes.ts';
import { forwardsOf } from '../forwards.ts';

type Changes = Partial<Omit<VmRecord, 'wanted' | 'observed' | 'status'>> & {
  readonly wanted?: Partial<VmRecord['wanted']>;
  readonly observed?: Partial<VmRecord['observed']>;
};

/** As a daemon leaves it that was killed before it wrote down that a launch went through. */
const CUT_OFF = { process: null, observed: { launch: 0 } } as const;

async function worldWithVm(changes: Changes = {}): Promise<World> {
  const world = newWorld();
  const control = await engineOn(world);
  await control.engine.vms.create({ name: 'web', plugin: 'hello' });
  // A killed daemon sees nothing of what comes after.
  await control.shutdown();
  const record = world.store.vms.get(1);
  assert.ok(record);
  world.store.vms.set(1, changed(record, changes, record.updatedAtMs));
  return world;
}

function kill(world: World): void {
  for (const [pid] of world.host.processes) world.host.processes.delete(pid);
}

async function statusAfterRestart(world: World): Promise<string | undefined> {
  const { engine } = await engineOn(world);
  const body = engine.vms.get('web');
  return body === undefined ? undefined : (JSON.parse(body) as Vm).status;
}

suite('recovery', () => {
  test('a running VM is adopted: same process, no event, and it can be stopped', async () => {
    const world = await worldWithVm();
    const events = world.store.events.length;
    const { engine } = await engineOn(world);
    assert.equal(JSON.parse(engine.vms.get('web') ?? '{}').pid, 1000);
    assert.equal(world.store.events.length, events);
    await engine.vms.stop('web');
    assert.equal(world.host.processes.size, 0);
  });

  test('a config that is of no use does not keep a running VM from being adopted', async () => {
    for (const broken of ['launched', 'newest']) {
      const world = await worldWithVm({ configVersion: 2 });
      const [first] = world.store.configs(1, 1);
      assert.ok(first);
      const bad = { ...first.config, rootfs: { url: 'file:///50%.img' } };
      for (const version of [1, 2]) {
        const isBroken = broken === (version === 1 ? 'launched' : 'newest');
        const config = isBroken ? bad : first.config;
        world.store.stored.set(`1/${version}`, { ...first, version, config });
      }
      const { engine } = await engineOn(world);
      assert.equal(JSON.parse(engine.vms.get('web') ?? '{}').pid, 1000, broken);
      await engine.vms.stop('web');
      assert.equal(world.host.processes.size, 0);
    }
  });

  test('the exit of an adopted VM is seen', async () => {
    const world = await worldWithVm();
    const { engine } = await engineOn(world);
    world.hypervisor.guestEnd = undefined;
    const told = new Promise((resolve) => engine.events.subscribe(resolve));
    world.host.processes.get(1000)?.end({ code: null, signal: null });
    await told;
    assert.equal(JSON.parse(engine.vms.get('web') ?? '{}').status, 'crashed');
  });

  test('a process that is gone means crashed, and its tap goes', async () => {
    const world = await worldWithVm();
    kill(world);
    assert.equal(await statusAfterRestart(world), 'crashed');
    assert.equal(world.host.taps.size, 0);
  });

  test('a process that ended in good order means stopped', async () => {
    const world = await worldWithVm();
    kill(world);
    world.host.orderlyExitIds.push(1);
    assert.equal(await statusAfterRestart(world), 'stopped');
  });

  test('a host that was restarted means stopped', async () => {
    const world = await worldWithVm();
    kill(world);
    world.host.bootId = 'boot-2';
    assert.equal(await statusAfterRestart(world), 'stopped');
  });

  test('a create that was interrupted before its launch is finished', async () => {
    const world = await worldWithVm({ ...CUT_OFF, neverRan: true });
    kill(world);
    const { engine } = await engineOn(world);
    await until(() => JSON.parse(engine.vms.get('web') ?? '{}').status === 'running');
    assert.equal(world.host.processes.size, 1);
    assert.equal(world.store.events.at(-1)?.body.type, 'VM_RUNNING');
  });

  test('a create that was interrupted and cannot be finished is undone', async () => {
    const world = await worldWithVm({ ...CUT_OFF, neverRan: true });
    kill(world);
    world.host.failures.set('launch', new VolantError('HYPERVISOR_FAILED', 'no'));
    const { engine } = await engineOn(world);
    await until(() => engine.vms.get('web') === undefined);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    const { type, message } = world.store.events.at(-1)?.body ?? {};
    assert.deepEqual([type, message], ['VM_DELETED', 'no']);
  });

  test('a create whose process lives is finished', async () => {
    const world = await worldWithVm({ ...CUT_OFF, neverRan: true });
    const { engine } = await engineOn(world);
    await until(() => JSON.parse(engine.vms.get('web') ?? '{}').status === 'running');
    assert.equal(JSON.parse(engine.vms.get('web') ?? '{}').pid, 1000);
    assert.equal(world.host.processes.size, 1);
  });

  test('a start that was interrupted is finished', async () => {
    const world = await worldWithVm(CUT_OFF);
    kill(world);
    const { engine } = await engineOn(world);
    await until(() => JSON.parse(engine.vms.get('web') ?? '{}').status === 'running');
    assert.equal(JSON.parse(engine.vms.get('web') ?? '{}').pid, 1001);
  });

  test('a restart that was interrupted is finished, wherever it was', async () => {
    for (const isEnded of [false, true]) {
      const wanted = { launch: 2 };
      const world = await worldWithVm(isEnded ? { wanted, process: null } : { wanted });
      if (isEnded) kill(world);
      const { engine } = await engineOn(world);
      await until(() => JSON.parse(engine.vms.get('web') ?? '{}').pid === 1001);
      assert.equal(JSON.parse(engine.vms.get('web') ?? '{}').status, 'running');
      assert.equal(world.host.processes.size, 1);
    }
  });

  test('a stop that was interrupted is finished', async () => {
    const world = await worldWithVm({ wanted: { state: 'stopped' } });
    const { engine } = await engineOn(world);
    while (JSON.parse(engine.vms.get('web') ?? '{}').status !== 'stopped') {
      await new Promise(setImmediate);
    }
    assert.equal(world.host.processes.size, 0);
  });

  test('a delete that was interrupted is finished', async () => {
    const world = await worldWithVm({ wanted: { state: 'deleted' } });
    const { engine } = await engineOn(world);
    while (engine.vms.get('web') !== undefined) await new Promise(setImmediate);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('what no record owns is swept away', async () => {
    const world = await worldWithVm();
    world.store.vms.clear();
    world.store.stored.clear();
    world.store.addresses.clear();
    const { engine } = await engineOn(world);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    assert.equal((await engine.system.info()).recovery?.swept, 4);
  });

  test('a hypervisor that does not answer is kept and can be ended', async () => {
    const world = await worldWithVm();
    world.hypervisor.beforeConnect = () => Promise.reject(new VolantError('HYPERVISOR_TIMEOUT'));
    const { engine } = await engineOn(world);
    assert.equal(JSON.parse(engine.vms.get('web') ?? '{}').status, 'running');
    await engine.vms.destroy('web');
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('leases and numbers continue where they were', async () => {
    const world = await worldWithVm();
    const { engine } = await engineOn(world);
    const vm: Vm = JSON.parse(await engine.vms.create({ name: 'two', plugin: 'hello' }));
    assert.deepEqual([vm.id, vm.ip_address], [2, '192.168.127.11']);
    const sequences = world.store.events.map(({ sequence }) => sequence);
    assert.deepEqual(
      sequences,
      sequences.map((_, index) => index + 1),
    );
  });

  test('teardown leaves nothing at all', async () => {
    const world = await worldWithVm();
    const control = await engineOn(world);
    await control.engine.vms.create({ name: 'two', plugin: 'hello' });
    await control.teardown();
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    assert.equal(world.host.network, false);
  });
});

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise(setImmediate);
}

/** A world as a killed daemon leaves it: what it held is free again. */
async function killed(world: World, control: { shutdown(): Promise<void> }): Promise<World> {
  await control.shutdown();
  world.host.heldPorts.clear();
  return world;
}

async function turns(count = 20): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise(setImmediate);
}

suite('what clients ask for before recovery is over', () => {
  test('comes after it, and what is new is left alone', async () => {
    const world = await worldWithVm();
    let goOn: () => void = () => undefined;
    world.host.beforeInventory = () =>
      new Promise((resolve) => {
        goOn = resolve;
      });
    const { engine, recover } = await preparedOn(world);
    const recovering = recover();
    const stopping = engine.vms.stop('web');
    await engine.vms.create({ name: 'two', plugin: 'hello' });
    assert.equal(JSON.parse(engine.vms.get('web') ?? '').status, 'stopping');
    assert.equal(world.host.processes.size, 2);
    goOn();
    await Promise.all([recovering, stopping]);
    assert.equal(JSON.parse(engine.vms.get('web') ?? '').status, 'stopped');
    const two = JSON.parse(engine.vms.get('two') ?? '');
    assert.deepEqual([...world.host.processes.keys()], [two.pid]);
    assert.equal(world.host.taps.size, 1);
    await engine.vms.stop('two');
    assert.equal(world.host.processes.size, 0);
  });

  test('does not get a port of a VM that was not inspected yet', async () => {
    const world = newWorld();
    const config = { expose: [{ port: 80, host_port: 8080 }] };
    const before = await engineOn(world);
    await before.engine.vms.create({ name: 'web', plugin: 'hello', config });
    const { engine, recover } = await preparedOn(await killed(world, before));
    const recovering = recover();
    await assert.rejects(engine.vms.create({ name: 'two', plugin: 'hello', config }), {
      code: 'PORT_TAKEN',
      message: 'Host port tcp 8080 belongs to VM web',
    });
    await recovering;
    assert.deepEqual(forwardsOf(world), ['tcp 8080 > 192.168.127.10:80']);
  });
});

suite('host ports over a restart', () => {
  const expose = (host_port: number, more: object = {}) => [{ port: 80, host_port, ...more }];

  test('lead to their guests without a break: the rules are written once, at the end', async () => {
    const world = newWorld();
    const before = await engineOn(world);
    for (const [index, name] of ['a', 'b', 'c'].entries()) {
      const config = { expose: expose(8080 + index) };
      await before.engine.vms.create({ name, plugin: 'hello', config });
    }
    const old = forwardsOf(world);
    await killed(world, before);
    const dead = world.store.vms.get(3)?.process?.pid ?? 0;
    world.host.processes.delete(dead);
    const written: string[][] = [];
    const setForwards = world.host.setForwards.bind(world.host);
    world.host.setForwards = async (spec, forwards) => {
      await setForwards(spec, forwards);
      written.push(forwardsOf(world));
    };
    await engineOn(world);
    assert.deepEqual(written, [old.slice(0, 2)]);
    assert.deepEqual([...world.host.heldPorts], ['tcp 8080', 'tcp 8081']);
  });

  test('are shared by replicas that were ready and do not answer yet', async () => {
    const world = newWorld();
    const before = await engineOn(world);
    const manifest = before.engine.plugins.get('hello');
    const health_check = { endpoint: '/healthz', timeout_ms: 1000 };
    await before.engine.deployments.create({
      name: 'web',
      replicas: 2,
      config: {
        plugin: 'hello',
        manifest: { ...manifest, health_check },
        expose: expose(8080, { balanced: true }),
      },
    });
    const old = forwardsOf(world);
    assert.deepEqual(old, ['tcp 8080 > 192.168.127.10:80 192.168.127.11:80']);
    await killed(world, before);
    world.hypervisor.answering = false;
    const { engine, shutdown } = await engineOn(world);
    await turns();
    assert.deepEqual(forwardsOf(world), old);
    world.hypervisor.answering = true;
    world.hypervisor.healthy = false;
    while (forwardsOf(world)[0] !== 'tcp 8080 > ') await new Promise(setImmediate);
    assert.equal(engine.deployments.get('web').ready_replicas, 0, 'an answer counts');
    await shutdown();
  });

  test('that another program took are reported, asked for again, and returned', async (t) => {
    const world = newWorld();
    const before = await engineOn(world);
    await before.engine.vms.create({
      name: 'a',
      plugin: 'hello',
      config: { expose: expose(8080) },
    });
    await killed(world, before);
    world.host.failures.set('hold tcp 8080', new VolantError('PORT_TAKEN', 'nginx has it'));
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { engine } = await engineOn(world);
    await turns();
    const last = () => {
      const { type, name, message } = world.store.events.at(-1)?.body ?? {};
      return [type, name, message];
    };
    assert.deepEqual(last(), ['HOST_PORT_LOST', 'a', 'nginx has it']);
    assert.deepEqual(forwardsOf(world), [], 'nginx keeps its connections');
    await engine.configs.patch('a', { metadata: { looked: true } });
    t.mock.timers.tick(LIMITS.lostPortRetryMs);
    await turns();
    world.host.failures.clear();
    t.mock.timers.tick(LIMITS.lostPortRetryMs);
    await turns();
    assert.equal(last()[0], 'HOST_PORT_REGAINED');
    assert.deepEqual(forwardsOf(world), ['tcp 8080 > 192.168.127.10:80']);
  });
});
