// What users rely on when the disk of the host is full: it is reported, and the guest continues by itself.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { engineOn, newWorld, type World } from '../fakes.ts';

const HURRIED = { diskFullRetryMs: 20 };

const told = ({ store }: World) =>
  store.events.map(({ body }) => body.type).filter((type) => type.startsWith('MEDIA_'));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

suite('a guest that is paused for lack of space', () => {
  test('is reported once, tried periodically, and reported again when it continues', async () => {
    const world = newWorld(HURRIED);
    const { hypervisor } = world;
    const { engine } = await engineOn(world);
    await engine.vms.create({ name: 'web', plugin: 'hello' });
    const isFull = () => {
      for (const listener of hypervisor.diskFullListeners) listener();
    };
    isFull();
    await until(() => hypervisor.resumed === 1);
    isFull();
    await until(() => hypervisor.resumed === 2);
    await until(() => told(world).length === 2);
    assert.deepEqual(told(world), ['MEDIA_DISK_FULL', 'MEDIA_DISK_FREED']);
    assert.equal(hypervisor.resumed, 2);
  });

  test('continues also under a daemon that found it so', async () => {
    const world = newWorld(HURRIED);
    const before = await engineOn(world);
    await before.engine.vms.create({ name: 'web', plugin: 'hello' });
    await before.shutdown();
    world.hypervisor.controlStatus = 'io-error';
    await engineOn(world);
    await until(() => told(world).includes('MEDIA_DISK_FREED'));
    assert.equal(world.hypervisor.resumed, 1);
  });
});
