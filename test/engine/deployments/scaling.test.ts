// Deployments on a pretend host: what is wanted changes again before the last change is done.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { until } from '../../helpers/until.ts';
import { engineOn, newWorld } from '../fakes.ts';

suite('a deployment', () => {
  test('scaled up again while a replica goes gets another one at once', async () => {
    const world = newWorld();
    const control = await engineOn(world);
    const { deployments } = control.engine;
    await deployments.create({ name: 'web', replicas: 3, config: { plugin: 'hello' } });
    world.hypervisor.powerButtonWorks = false;
    const fewer = deployments.patch('web', { replicas: 2 });
    await until('the third one goes', () => world.hypervisor.powerOffs.length > 0);
    const more = await deployments.patch(
      'web',
      { replicas: 3 },
      { wait: 'accepted', timeoutMs: 1 },
    );
    assert.equal(more.desired_replicas, 3);
    await until('a fourth one is there', () => control.engine.vms.get('web-4') !== undefined);
    assert.ok(control.engine.vms.get('web-3'));
    await fewer;
    await control.shutdown();
  });
});
