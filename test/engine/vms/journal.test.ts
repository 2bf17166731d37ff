// What whoever wonders about a VM reads of it, on a world of fakes.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import type { Engine } from '../../../src/engine/engine-api.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import { engineOn, newWorld } from '../fakes.ts';

const told = (engine: Engine) =>
  engine.vms
    .operations('web')
    .map(({ number, kind, outcome, error }) => [number, kind, outcome, error].join(' '));

suite('operations of a VM', () => {
  test('are what was asked for and what came of it, newest first, over restarts of the daemon', async () => {
    const world = newWorld();
    const { engine, shutdown } = await engineOn(world);
    await engine.vms.create({ name: 'web', plugin: 'hello' });
    await engine.vms.stop('web');
    world.host.failures.set('launch', new VolantError('HYPERVISOR_FAILED', 'no such device'));
    await assert.rejects(engine.vms.start('web'));
    world.host.failures.clear();
    const before = ['3 start failed no such device', '2 stop done ', '1 create done '];
    assert.deepEqual(told(engine), before);
    await shutdown();
    const next = await engineOn(world);
    await next.engine.vms.start('web');
    assert.deepEqual(told(next.engine), ['4 start done ', ...before]);
    const [, failed] = next.engine.vms.operations('web');
    assert.deepEqual(
      failed?.steps.map(({ step, error }) => [step, error]),
      [
        ['launch', 'no such device'],
        ['look', null],
        ['release', null],
        ['noteFailure', null],
      ],
    );
  });

  test('report a guest that ended, and of a step that was tried again', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create({ name: 'web', plugin: 'hello' });
    world.host.failures.set('removeTap', new VolantError('HOST_OPERATION_FAILED', 'busy'));
    await assert.rejects(engine.vms.stop('web'));
    world.host.failures.clear();
    await engine.vms.stop('web');
    const [operation] = engine.vms.operations('web');
    assert.equal(operation?.outcome, 'done');
    const release = operation?.steps.find(({ error }) => error === 'busy');
    assert.equal(release?.times, LIMITS.stepFailuresReported);
  });

  test('are kept so many, and go with the VM', async () => {
    const world = newWorld();
    const { engine, shutdown } = await engineOn(world);
    await engine.vms.create({ name: 'web', plugin: 'hello' });
    for (let count = 0; count < LIMITS.operationsKeptPerVmMax; count += 1) {
      await engine.vms.restart('web');
    }
    assert.equal(engine.vms.operations('web').length, LIMITS.operationsKeptPerVmMax);
    await engine.vms.destroy('web');
    assert.throws(() => engine.vms.operations('web'), { code: 'VM_NOT_FOUND' });
    await shutdown();
    assert.equal(world.store.done.size, 0);
  });
});
