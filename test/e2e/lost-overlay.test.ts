// e2e: a VM whose overlay is lost, for example after a restore without the disks, does not start from an empty one.

import assert from 'node:assert/strict';
import { cpSync, existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';

test('a start without the overlay is refused, with what to do, and goes through when it is back', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  const image = join(daemon.home, 'images/root.raw');
  writeFileSync(image, Buffer.alloc(1024 * 1024));
  const vm = await daemon.createVm('db', { config: { rootfs: { url: image, format: 'raw' } } });
  const overlay = join(daemon.home, `disks/${vm.id}/rootfs.qcow2`);
  assert.ok(existsSync(overlay));
  await daemon.call('POST', '/api/v1/vms/db/stop');
  await daemon.waitFor('db', 'stopped');
  await daemon.terminate();
  const disks = join(daemon.home, 'disks');
  cpSync(disks, join(daemon.home, 'backup'), { recursive: true });
  renameSync(disks, join(daemon.home, 'gone'));
  await daemon.start();
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const refused = await daemon.call('POST', '/api/v1/vms/db/start');
    assert.deepEqual([refused.status, refused.body.code], [400, 'MEDIA_INVALID']);
    assert.match(refused.body.error, new RegExp(`put ${overlay} back from a backup`));
    assert.equal((await daemon.waitFor('db', 'stopped')).status, 'stopped');
    assert.equal(existsSync(overlay), false);
  }
  cpSync(join(daemon.home, 'backup'), disks, { recursive: true });
  assert.equal((await daemon.call('POST', '/api/v1/vms/db/start')).status, 200);
  await daemon.waitFor('db', 'running');
});

test('a disk that came with a later config is missed, too, and one that never was is made', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  const image = join(daemon.home, 'images/data.raw');
  writeFileSync(image, Buffer.alloc(1024 * 1024));
  const vm = await daemon.createVm('db');
  const { body: manifest } = await daemon.call('GET', '/api/v1/plugins/hello');
  const disks = [{ name: 'data', source: image, format: 'raw' }];
  const patch = { manifest: { ...manifest, disks } };
  assert.equal((await daemon.call('PATCH', '/api/v1/vms/db/config', patch)).status, 200);
  const restart = () => daemon.call('POST', '/api/v1/vms/db/restart');
  assert.equal((await restart()).status, 200);
  const overlay = join(daemon.home, `disks/${vm.id}/data.qcow2`);
  assert.ok(existsSync(overlay));
  await daemon.call('POST', '/api/v1/vms/db/stop');
  rmSync(overlay);
  await daemon.killAndRestart();
  const refused = await daemon.call('POST', '/api/v1/vms/db/start');
  assert.deepEqual([refused.status, refused.body.code], [400, 'MEDIA_INVALID']);
  assert.match(refused.body.error, new RegExp(`put ${overlay} back from a backup, or delete`));
  assert.equal(existsSync(overlay), false);
  // Without the disk it starts; with it it is still missing.
  const without = { manifest: { ...manifest, disks: [] } };
  assert.equal((await daemon.call('PATCH', '/api/v1/vms/db/config', without)).status, 200);
  assert.equal((await daemon.call('POST', '/api/v1/vms/db/start')).status, 200);
  assert.equal((await daemon.call('PATCH', '/api/v1/vms/db/config', patch)).status, 200);
  assert.equal((await restart()).body.code, 'MEDIA_INVALID');
  // Another image is another disk.
  const other = join(daemon.home, 'images/other.raw');
  writeFileSync(other, Buffer.alloc(1024 * 1024));
  const replaced = { manifest: { ...manifest, disks: [{ ...disks[0], source: other }] } };
  assert.equal((await daemon.call('PATCH', '/api/v1/vms/db/config', replaced)).status, 200);
  await daemon.waitFor('db', 'stopped');
  assert.equal((await daemon.call('POST', '/api/v1/vms/db/start')).status, 200);
  assert.ok(existsSync(overlay));
});
