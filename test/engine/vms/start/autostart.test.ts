// What whoever sets `autostart` relies on: after a restart of the host their VMs run again, unless they were stopped on
// purpose, and after a restart of the daemon alone nothing of the kind happens.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../../../src/config/limits.ts';
import type { EngineControl } from '../../../../src/engine/engine.ts';
import { HOST_RESTARTED } from '../../../../src/engine/vms/start/autostart.ts';
import { VolantError } from '../../../../src/lib/errors.ts';
import { until } from '../../../helpers/until.ts';
import { engineOn, newWorld, type World } from '../../fakes.ts';

const vm = (name: string, autostart?: boolean) => ({
  name,
  plugin: 'hello',
  memory_mb: 1000,
  ...(autostart === undefined ? {} : { autostart }),
});
const statusOf = ({ engine }: EngineControl, name: string) =>
  JSON.parse(engine.vms.get(name) ?? '{}').status;
const messagesOf = ({ store }: World, name: string) =>
  store.events
    .filter(({ body }) => body.name === name)
    .map(({ body }) => `${body.type} ${body.message ?? ''}`.trim());

/** The kernel knows nothing any more of what was on it. */
function restartHost({ host }: World, bootId = 'boot-2'): void {
  host.processes.clear();
  host.taps.clear();
  host.cgroups.clear();
  host.bootId = bootId;
}

const settled = ({ store }: World, bootId: string) =>
  until('all are asked for', () => store.bootId === bootId);

suite('after a restart of the host', () => {
  test('those with autostart run again, and their events say why; the others are stopped', async () => {
    const world = newWorld();
    const first = await engineOn(world);
    for (const one of [vm('auto', true), vm('plain'), vm('off', true), vm('gone', true)]) {
      await first.engine.vms.create(one);
    }
    await first.engine.vms.create({ name: 'config', plugin: 'hello', config: { autostart: true } });
    await first.engine.vms.stop('off');
    await settled(world, 'boot-1');
    // Its guest powers itself off, and then somebody wants it stopped.
    const { pid } = JSON.parse(first.engine.vms.get('gone') ?? '{}');
    world.host.processes.get(pid)?.end({ code: 0, signal: null });
    await until('gone has ended', () => statusOf(first, 'gone') === 'stopped');
    await first.engine.vms.stop('gone');
    await first.shutdown();
    restartHost(world);
    const second = await engineOn(world);
    await until('they run', () =>
      ['auto', 'config'].every((name) => statusOf(second, name) === 'running'),
    );
    await settled(world, 'boot-2');
    for (const name of ['plain', 'off', 'gone'])
      assert.equal(statusOf(second, name), 'stopped', name);
    assert.deepEqual(messagesOf(world, 'auto').slice(-3), [
      'VM_STOPPED The host was restarted',
      `VM_STARTING ${HOST_RESTARTED}`,
      'VM_RUNNING',
    ]);
    assert.equal(messagesOf(world, 'plain').at(-1), 'VM_STOPPED The host was restarted');
    await second.shutdown();
  });

  test('a change of autostart counts at once, also while the VM runs', async () => {
    const world = newWorld();
    const first = await engineOn(world);
    await first.engine.vms.create(vm('on'));
    await first.engine.vms.create(vm('off', true));
    const { pending_restart } = await first.engine.configs.patch('on', { autostart: true });
    assert.equal(pending_restart, false);
    await first.engine.configs.patch('off', { autostart: null });
    await settled(world, 'boot-1');
    await first.shutdown();
    restartHost(world);
    const second = await engineOn(world);
    await until('it runs', () => statusOf(second, 'on') === 'running');
    assert.equal(statusOf(second, 'off'), 'stopped');
    await second.shutdown();
  });

  test('more than are started at once all come up, the oldest first', async () => {
    const count = LIMITS.autostartsRunningMax + 20;
    const world = newWorld();
    const first = await engineOn(world);
    const names = Array.from({ length: count }, (_, index) => `vm-${index}`);
    await Promise.all(names.map((name) => first.engine.vms.create(vm(name, true))));
    await settled(world, 'boot-1');
    await first.shutdown();
    restartHost(world);
    const second = await engineOn(world);
    await until('all run', () => names.every((name) => statusOf(second, name) === 'running'));
    await second.shutdown();
  });

  test('one for which there is no room any more stays stopped, and says so', async () => {
    const settings = { VOLANT_MEMORY_OVERCOMMIT: '1', VOLANT_MEMORY_RESERVE_MB: '0' };
    const world = newWorld();
    const first = await engineOn(world, settings);
    for (const name of ['a', 'b']) await first.engine.vms.create(vm(name, true));
    await settled(world, 'boot-1');
    await first.shutdown();
    restartHost(world);
    world.host.hostSize = { memoryMb: 1500, cpuCores: 4 };
    const second = await engineOn(world, settings);
    await settled(world, 'boot-2');
    assert.deepEqual([statusOf(second, 'a'), statusOf(second, 'b')], ['running', 'stopped']);
    assert.match(
      messagesOf(world, 'b').at(-1) ?? '',
      /^VM_STOPPED The host was restarted: There is no memory/,
    );
    await second.shutdown();
  });

  test('a start that fails is reported, and delays no other VM', async () => {
    const world = newWorld();
    const first = await engineOn(world);
    await first.engine.vms.create(vm('a', true));
    await settled(world, 'boot-1');
    await first.shutdown();
    restartHost(world);
    world.host.failures.set('launch', new VolantError('HYPERVISOR_FAILED', 'no'));
    const second = await engineOn(world);
    await settled(world, 'boot-2');
    assert.equal(messagesOf(world, 'a').at(-1), 'VM_STOPPED no');
    await second.shutdown();
  });
});

suite('after a restart of the daemon alone', () => {
  test('nothing is started that ended by itself', async () => {
    const world = newWorld();
    const first = await engineOn(world);
    await first.engine.vms.create(vm('a', true));
    await settled(world, 'boot-1');
    await first.shutdown();
    world.host.processes.clear();
    const second = await engineOn(world);
    await pause(50);
    assert.equal(statusOf(second, 'a'), 'crashed');
    await second.shutdown();
    // Wanted to run as it was, it comes up with the host.
    restartHost(world);
    const third = await engineOn(world);
    await until('it runs', () => statusOf(third, 'a') === 'running');
    await third.shutdown();
  });

  test('a kill before all were asked for costs none its start', async () => {
    const world = newWorld();
    const first = await engineOn(world);
    await first.engine.vms.create(vm('a', true));
    await settled(world, 'boot-1');
    await first.shutdown();
    restartHost(world);
    // As if it was killed right after it had stored the end.
    const record = world.store.vms.get(1);
    assert.ok(record);
    const observed = { ...record.observed, end: 'stopped', isReleased: true } as const;
    world.store.vms.set(1, { ...record, status: 'stopped', process: null, observed });
    const second = await engineOn(world);
    await until('it runs', () => statusOf(second, 'a') === 'running');
    await second.shutdown();
  });
});
