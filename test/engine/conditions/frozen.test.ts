// What users rely on when hypervisors or guests answer no more: it is reported, nothing takes them for ready, deployments put
// others in their place, and they count again when they answer.

import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { EngineControl } from '../../../src/engine/engine.ts';
import type { Vm } from '../../../src/schema/vm.ts';
import { until } from '../../helpers/until.ts';
import { engineOn, newWorld, type World } from '../fakes.ts';

const HURRIED = {
  pulseIntervalMs: 60,
  pulseTickMs: 10,
  pulseTimeoutMs: 100,
  agentPulseTimeoutMs: 150,
  replicaSilentMs: 300,
  reconcileTickMs: 50,
  readinessPauseMaxMs: 50,
};

const vmOf = ({ engine }: EngineControl, name: string): Vm =>
  JSON.parse(engine.vms.get(name) ?? '{}');

const wrongOf = (control: EngineControl, name: string) =>
  vmOf(control, name)
    .conditions.filter(({ status }) => !status)
    .map(({ type, reason }) => `${type} ${reason}`);

const told = ({ store }: World) =>
  store.events
    .map(({ body }) => body)
    .filter(({ type }) => ['VM_DEGRADED', 'VM_REPAIRED'].includes(type))
    .map(({ type, message }) => `${type} ${message?.split(':')[0]}`);

async function withWeb(t: TestContext) {
  const world = newWorld(HURRIED);
  const control = await engineOn(world);
  t.after(() => control.shutdown());
  await control.engine.vms.create({ name: 'web', plugin: 'hello' });
  return { world, control };
}

suite('a hypervisor that answers no more', () => {
  test('is reported once, and once when it answers again', async (t) => {
    const { world, control } = await withWeb(t);
    await until('it was asked', () => vmOf(control, 'web').conditions.length > 3);
    assert.deepEqual(wrongOf(control, 'web'), []);
    world.hypervisor.freeze();
    await until('it is told', () =>
      wrongOf(control, 'web').includes('HypervisorResponsive DoesNotAnswer'),
    );
    await pause(300);
    world.hypervisor.thaw();
    await until('it is well', () => wrongOf(control, 'web').length === 0);
    await until('that is told', () => told(world).length >= 2);
    assert.deepEqual(
      told(world).filter((line) => line.includes('hypervisor')),
      ['VM_DEGRADED The hypervisor does not answer', 'VM_REPAIRED The hypervisor answers again'],
    );
    assert.equal(vmOf(control, 'web').status, 'running');
  });

  test('is asked no more than once until it answers', async (t) => {
    const { world, control } = await withWeb(t);
    await until('it was asked', () => vmOf(control, 'web').conditions.length > 3);
    world.hypervisor.freeze();
    await until('it is told', () => wrongOf(control, 'web').length > 0);
    const { asked } = world.hypervisor;
    await pause(400);
    assert.equal(world.hypervisor.asked, asked);
    world.hypervisor.thaw();
  });

  test('is known to the next daemon, which reports it no second time', async (t) => {
    const world = newWorld(HURRIED);
    const before = await engineOn(world);
    await before.engine.vms.create({ name: 'web', plugin: 'hello' });
    world.hypervisor.freeze();
    await until('it is told', () => told(world).length > 0);
    await before.shutdown();
    const count = told(world).length;
    const control = await engineOn(world);
    t.after(() => control.shutdown());
    assert.ok(wrongOf(control, 'web').includes('HypervisorResponsive DoesNotAnswer'));
    await pause(300);
    assert.equal(told(world).length, count);
    world.hypervisor.thaw();
    await until('it is well', () => wrongOf(control, 'web').length === 0);
  });

  test('is replaced by its deployment after a bound, and not before', async (t) => {
    const world = newWorld({ ...HURRIED, replicaSilentMs: 600 });
    const control = await engineOn(world);
    t.after(() => control.shutdown());
    const { deployments } = control.engine;
    await deployments.create({ name: 'web', replicas: 1, config: { plugin: 'hello' } });
    const { id } = vmOf(control, 'web-1');
    world.hypervisor.freeze();
    await until('it is not ready', () => deployments.get('web').ready_replicas === 0);
    assert.equal(vmOf(control, 'web-1').id, id);
    await until('it is replaced', () => (vmOf(control, 'web-1').id ?? id) !== id);
    world.hypervisor.thaw();
    await until('the new one is ready', () => deployments.get('web').ready_replicas === 1);
  });

  test('is kept where it answers again in time', async (t) => {
    const world = newWorld({ ...HURRIED, replicaSilentMs: 60_000 });
    const control = await engineOn(world);
    t.after(() => control.shutdown());
    const { deployments } = control.engine;
    await deployments.create({ name: 'web', replicas: 1, config: { plugin: 'hello' } });
    const { id } = vmOf(control, 'web-1');
    world.hypervisor.freeze();
    await until('it is not ready', () => deployments.get('web').ready_replicas === 0);
    world.hypervisor.thaw();
    await until('it is ready again', () => deployments.get('web').ready_replicas === 1);
    assert.equal(vmOf(control, 'web-1').id, id);
  });

  test('is also one whose guest was halted by an internal error', async (t) => {
    const { world, control } = await withWeb(t);
    world.hypervisor.controlStatus = 'internal-error';
    await until('it is told', () =>
      wrongOf(control, 'web').includes('HypervisorResponsive GuestHalted'),
    );
  });
});

suite('the asking', () => {
  test('is bounded for each moment, and reaches everybody', async (t) => {
    const world = newWorld({ ...HURRIED, pulsesPerTickMax: 2 });
    const control = await engineOn(world);
    t.after(() => control.shutdown());
    const names = Array.from({ length: 30 }, (_, index) => `vm-${index}`);
    await Promise.all(names.map((name) => control.engine.vms.create({ name, plugin: 'hello' })));
    const from = { asked: world.hypervisor.asked, atMs: performance.now() };
    await until('each was asked', () =>
      names.every((name) => vmOf(control, name).conditions.length > 3),
    );
    const ticks = (performance.now() - from.atMs) / HURRIED.pulseTickMs + 1;
    assert.ok(world.hypervisor.asked - from.asked <= 2 * ticks);
  });
});
