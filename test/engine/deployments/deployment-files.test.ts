// Files that a config names: what cannot be used is refused where it is asked for, and not replica by replica later.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { VolantError } from '../../../src/lib/errors.ts';
import { engineOn, newWorld } from '../fakes.ts';

suite('files of a deployment', () => {
  test('that cannot be used refuse it at once, under their field, and change nothing', async () => {
    const world = newWorld();
    const control = await engineOn(world);
    const { deployments, configs, vms } = control.engine;
    await deployments.create({ name: 'web', replicas: 1, config: { plugin: 'hello' } });
    world.host.failures.set(
      'inspect /bad/root',
      new VolantError('MEDIA_INVALID', '/bad/root is a VMDK image'),
    );
    const refused = (field: string) => ({
      code: 'MEDIA_INVALID',
      details: { [field]: '/bad/root is a VMDK image' },
    });
    const config = { plugin: 'hello', rootfs: { url: '/bad/root' } };
    const made = deployments.create({ name: 'x', replicas: 2, config });
    await assert.rejects(made, refused('config.rootfs.url'));
    await assert.rejects(deployments.patch('web', { config }), refused('config.rootfs.url'));
    const absent = { plugin: 'hello', devices: { pci_passthrough: ['0000:99:00.0'] } };
    const missing = deployments.create({ name: 'x', replicas: 1, config: absent });
    await assert.rejects(missing, { code: 'DEVICE_NOT_FOUND' });
    assert.deepEqual(
      deployments.list().map(({ name, updated_replicas }) => [name, updated_replicas]),
      [['web', 1]],
    );
    await vms.create({ name: 'one', plugin: 'hello' });
    const patch = configs.patch('one', { rootfs: { url: '/bad/root' } });
    await assert.rejects(patch, refused('rootfs.url'));
    assert.equal(configs.get('one').version, 1);
    // What is not changed is not looked at: its file may be gone, and the overlay of it may do.
    await configs.patch('one', { rootfs: { url: '/good/root' } });
    const gone = new VolantError('MEDIA_INVALID', '/good/root does not exist');
    world.host.failures.set('inspect /good/root', gone);
    assert.equal((await configs.patch('one', { resources: { memory_mb: 256 } })).version, 3);
    await control.shutdown();
  });

  test('that are not there yet are warned of, and a VM that needs them at once is refused', async () => {
    const world = newWorld();
    const control = await engineOn(world);
    const { deployments, configs, vms } = control.engine;
    const config = { plugin: 'hello', rootfs: { url: '/later/root' } };
    world.host.missing.add('/later/root');
    const later = '/later/root does not exist; nothing can be launched until it does';
    const made = await deployments.create({ name: 'web', replicas: 1, config });
    assert.deepEqual(made.warnings, [`config.rootfs.url: ${later}`]);
    assert.equal(made.ready_replicas, 0);
    assert.match(JSON.stringify(made.conditions), /\/later\/root does not exist/);
    assert.equal(deployments.get('web').warnings, undefined, 'it is said once');
    await assert.rejects(vms.create({ name: 'one', plugin: 'hello', config }), {
      code: 'MEDIA_INVALID',
    });
    await vms.create({ name: 'two', plugin: 'hello' });
    const changed = await configs.patch('two', { rootfs: { url: '/later/root' } });
    assert.deepEqual([changed.version, changed.warnings], [2, [`rootfs.url: ${later}`]]);
    // One that is there and wrong is told as ever.
    const wrong = new VolantError('MEDIA_INVALID', '/bad/initrd is no initramfs');
    world.host.failures.set('inspect /bad/initrd', wrong);
    const initramfs = { url: '/bad/initrd' };
    await assert.rejects(configs.patch('two', { initramfs }), { code: 'MEDIA_INVALID' });
    world.host.missing.clear();
    const ready = await deployments.patch(
      'web',
      { replicas: 1 },
      { wait: 'ready', timeoutMs: 5_000 },
    );
    assert.deepEqual([ready.ready_replicas, ready.warnings], [1, undefined]);
    await control.shutdown();
  });
});
