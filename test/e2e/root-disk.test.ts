// e2e: a guest whose system is on a disk, with our agent as process 1 and with an init of its own. The root file system is
// built here from busybox.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { askGuest, type Daemon, startDaemon } from './daemon.ts';
import { makeRootDisk } from './root-disk-image.ts';

/** A disk with one partition, as qcow2: a distribution's cloud image in small. */
function inPartition(home: string, image: string): string {
  const content = readFileSync(image);
  const head = Buffer.alloc(2 ** 20);
  // The first entry of the table: active, Linux, first sector, sectors.
  head[446] = 0x80;
  head[450] = 0x83;
  head.writeUInt32LE(head.length / 512, 454);
  head.writeUInt32LE(content.length / 512, 458);
  head.writeUInt16LE(0xaa55, 510);
  const raw = join(home, 'divided.raw');
  writeFileSync(raw, Buffer.concat([head, content]));
  const qcow2 = join(home, 'images/divided.qcow2');
  execFileSync('qemu-img', ['convert', '-O', 'qcow2', raw, qcow2]);
  rmSync(raw);
  return qcow2;
}

async function installSystem(
  daemon: Daemon,
  {
    rootfs = { url: makeRootDisk(daemon.home) },
    ...more
  }: { rootfs?: object; disks?: object } = {},
): Promise<void> {
  const answer = await daemon.call('POST', '/api/v1/plugins', {
    schema_version: '1.0',
    name: 'system',
    version: '1',
    runtime: 'system',
    resources: { cpu_cores: 1, memory_mb: 160 },
    rootfs,
    workload: {
      type: 'http',
      base_url: 'http://127.0.0.1:8000',
      entrypoint: ['/bin/httpd', '-f', '-p', '127.0.0.1:8000', '-h', '/srv'],
    },
    ...more,
  });
  if (answer.status !== 201) throw new Error(answer.text);
}

const ask = async (daemon: Daemon, name: string, script: string) => {
  const { ip_address } = await daemon.getVm(name);
  return (await askGuest(ip_address, `/v1/cgi-bin/${script}`)).trim();
};

test('the agent runs the workload on a root disk, which keeps its changes; disks are mounted', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const source = `file://${join(daemon.home, 'images/data.raw')}`;
  await installSystem(daemon, { disks: [{ name: 'data', source, target: '/data' }] });
  await daemon.createVm('one', { plugin: 'system' });
  assert.match(await ask(daemon, 'one', 'root'), /^\/dev\/vda \/ ext4 rw/);
  assert.match(await ask(daemon, 'one', 'mounts'), /^\/dev\/vdb \/data ext4 rw/m);
  assert.match(await ask(daemon, 'one', 'init'), /^\/init/);
  assert.equal(await ask(daemon, 'one', 'data?more'), 'of the image\nmore');
  assert.equal(await ask(daemon, 'one', 'count?first'), '1');
  const stopped = await daemon.call('POST', '/api/v1/vms/one/stop');
  assert.equal(stopped.status, 200, stopped.text);
  assert.equal((await daemon.call('POST', '/api/v1/vms/one/start')).status, 200);
  assert.equal(await ask(daemon, 'one', 'count?second'), '2');
  assert.equal(await ask(daemon, 'one', 'data?more'), 'of the image\nmore');
  await daemon.createVm('two', { plugin: 'system' });
  assert.equal(await ask(daemon, 'two', 'count?first'), '1', 'every VM has its own');
});

test('with init= the root disk’s own init is process 1, the agent beside it', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  await installSystem(daemon);
  const vm = await daemon.createVm('own', {
    plugin: 'system',
    kernel_cmdline: 'init=/sbin/init',
  });
  assert.match(await ask(daemon, 'own', 'init'), /^(\/sbin\/)?init/);
  assert.equal(await ask(daemon, 'own', 'count?first'), '1');
  const health = JSON.parse(await askGuest(vm.ip_address, '/healthz'));
  assert.equal(health.workload.state, 'external');
  const stopped = await daemon.call('POST', '/api/v1/vms/own/stop');
  assert.equal(stopped.body.status, 'stopped', stopped.text);
});

test('a root in a partition of a qcow2 image, and a read-only disk that was not left clean', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel', 'qemu-img')) return;
  const daemon = await startDaemon(t);
  const data = join(daemon.home, 'images/data.raw');
  const disks = [{ name: 'data', source: data, target: '/data', readonly: true }];
  const url = inPartition(daemon.home, makeRootDisk(daemon.home));
  execFileSync('debugfs', ['-w', '-R', 'feature needs_recovery', data], { stdio: 'pipe' });
  await installSystem(daemon, { rootfs: { url, format: 'qcow2' }, disks });
  await daemon.createVm('one', {
    plugin: 'system',
    kernel_cmdline: 'root=/dev/vda1 rootfstype=ext4',
  });
  assert.match(await ask(daemon, 'one', 'root'), /^\/dev\/vda1 \/ ext4 rw/);
  assert.match(await ask(daemon, 'one', 'mounts'), /^\/dev\/vdb \/data ext4 ro/m);
  assert.match(await ask(daemon, 'one', 'data'), /of the image/);
  const { id } = await daemon.getVm('one');
  const console = readFileSync(join(daemon.home, `run/${id}/console.log`), 'utf8');
  assert.match(console, /vdb was not left clean/);
});
