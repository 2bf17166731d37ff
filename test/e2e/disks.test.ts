// e2e: images from the network and disks, as real guests see them.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../src/config/limits.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { askGuest, type Daemon, firstEvent, startDaemon } from './daemon.ts';
import { installProbe } from './probe-image.ts';

/** The server of images of these tests is on loopback, which has to be named. */
const MEDIA = { VOLANT_MEDIA_HOSTS: '127.0.0.1' };
const IMAGE = Buffer.alloc(4 * 2 ** 20, 'image-of-all');

/** A server of images that counts how often it was asked. */
async function serveImage(t: TestContext, bytes: Buffer) {
  let requests = 0;
  const server = createServer((_, response) => {
    requests += 1;
    response.writeHead(200, { 'content-length': bytes.length, etag: '"1"' }).end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${port}/image.raw`, requests: () => requests, close };
}

const ask = async (daemon: Daemon, name: string, what: string) => {
  const { ip_address } = await daemon.getVm(name);
  return (await askGuest(ip_address, `/v1/cgi-bin/${what}`)).trim();
};

/** Ids of VMs that have disks; the directory is made with the first. */
function disksOf({ home }: Daemon): string[] {
  const directory = join(home, 'disks');
  return existsSync(directory)
    ? readdirSync(directory).filter((name) => name !== 'volantd.lock')
    : [];
}

test('disks are what the manifest says, and keep what the guest wrote over stop and start', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t, MEDIA);
  const site = await serveImage(t, IMAGE);
  const local = join(daemon.home, 'images/local.raw');
  writeFileSync(local, Buffer.alloc(2 ** 20, 'local'));
  await installProbe(daemon, {
    disks: [
      { name: 'data', source: site.url, target: 'scratch' },
      { name: 'tools', source: `file://${local}`, readonly: true },
    ],
  });
  await daemon.createVm('one', { plugin: 'probe' });
  assert.deepEqual((await ask(daemon, 'one', 'disks')).split('\n'), [
    `vda scratch ${IMAGE.length / 512} 0`,
    'vdb tools 2048 1',
  ]);
  assert.match(await ask(daemon, 'one', 'read?vda'), /^image-of-all/);
  assert.match(await ask(daemon, 'one', 'write?from-guest'), /from-guest\n/);
  const restarted = await daemon.call('POST', '/api/v1/vms/one/restart');
  assert.equal(restarted.status, 200, restarted.text);
  assert.match(await ask(daemon, 'one', 'read?vda'), /^from-guest\n/);
  await daemon.createVm('two', { plugin: 'probe' });
  assert.match(await ask(daemon, 'two', 'read?vda'), /^image-of-all/, 'every VM has its own');
  const [digest] = readdirSync(join(daemon.home, 'cache/sha256'));
  assert.equal(digest, createHash('sha256').update(IMAGE).digest('hex'));
  assert.deepEqual(readFileSync(join(daemon.home, 'cache/sha256', digest ?? '')), IMAGE);
  assert.equal(readFileSync(local).subarray(0, 5).toString(), 'local');
  assert.match(await firstEvent(daemon, 'MEDIA_DOWNLOADING'), /"name":"one".*4\.0 MiB/);
  assert.match(await firstEvent(daemon, 'MEDIA_READY'), /"name":"one"/);
  await daemon.call('DELETE', '/api/v1/vms/one');
  await daemon.call('DELETE', '/api/v1/vms/two');
  assert.deepEqual(disksOf(daemon), []);
});

test('fifty VMs of one image are one download and no copy', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator', ...MEDIA });
  const site = await serveImage(t, IMAGE);
  const { body: manifest } = await daemon.call('GET', '/api/v1/plugins/hello');
  const plugin = { ...manifest, name: 'disky', disks: [{ name: 'data', source: site.url }] };
  assert.equal((await daemon.call('POST', '/api/v1/plugins', plugin)).status, 201);
  const names = Array.from({ length: 50 }, (_, index) => `vm-${index}`);
  await Promise.all(names.map((name) => daemon.createVm(name, { plugin: 'disky' })));
  assert.equal(site.requests(), 1);
  assert.equal(disksOf(daemon).length, 50);
  await daemon.killAndRestart();
  assert.equal(disksOf(daemon).length, 50, 'disks of VMs are kept');
});

test('a VM starts again without the server of its images; another reference is another disk', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator', ...MEDIA });
  const site = await serveImage(t, IMAGE);
  const config = { rootfs: { url: site.url }, initramfs: { url: `${site.url}?initramfs` } };
  const { id } = await daemon.createVm('vm', { config });
  site.close();
  const overlay = join(daemon.home, `disks/${id}/rootfs.qcow2`);
  const made = statSync(overlay).ino;
  await daemon.killAndRestart();
  const restart = async () => {
    const answer = await daemon.call('POST', '/api/v1/vms/vm/restart');
    assert.equal(answer.status, 200, answer.text);
  };
  await restart();
  assert.equal(statSync(overlay).ino, made, 'what the guest wrote is kept');
  const local = join(daemon.home, 'images/local.raw');
  writeFileSync(local, 'another image');
  const bad = { rootfs: { url: 'file:///a/50%.img' } };
  const refused = await daemon.call('PATCH', '/api/v1/vms/vm/config', bad);
  assert.equal(refused.status, 400);
  assert.ok('rootfs.url' in refused.body.details, refused.text);
  const patch = { rootfs: { url: local } };
  assert.equal((await daemon.call('PATCH', '/api/v1/vms/vm/config', patch)).status, 200);
  await restart();
  assert.notEqual(statSync(overlay).ino, made);
  assert.ok(readFileSync(overlay).includes(local));
});

test('a delete ends a create that waits for a slow server', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator', ...MEDIA });
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-length': 2 ** 20, etag: '"1"' }).write('slow');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/slow.img`;
  const body = { name: 'slow', plugin: 'hello', config: { rootfs: { url } } };
  const created = daemon.call('POST', '/api/v1/vms', body);
  await firstEvent(daemon, 'MEDIA_DOWNLOADING');
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/slow')).status, 204);
  const { status, body: answer } = await created;
  assert.deepEqual([status, answer.code], [409, 'VM_STATE_CONFLICT']);
  assert.equal((await daemon.call('GET', '/api/v1/vms')).body.length, 0);
  assert.deepEqual(daemon.taps(), []);
});

test('a guest whose write finds the disk full is paused, and continues when there is room', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const small = mkdtempSync(join(tmpdir(), 'volant-small-disk-'));
  const sizeMb = LIMITS.diskReserveBytes / 2 ** 20 + 16;
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMb}m`, 'none', small]);
  t.after(() => {
    execFileSync('umount', ['-l', small]);
    rmSync(small, { recursive: true });
  });
  const daemon = await startDaemon(t, { VOLANT_DISK_DIR: small });
  const source = join(daemon.home, 'images/large.raw');
  writeFileSync(source, '');
  truncateSync(source, 64 * 2 ** 20);
  await installProbe(daemon, { disks: [{ name: 'data', source }] });
  await daemon.createVm('one', { plugin: 'probe' });
  const filler = join(small, 'filler');
  execFileSync('fallocate', ['-l', `${sizeMb - 3}M`, filler]);
  assert.equal(await ask(daemon, 'one', 'fill'), 'begun');
  assert.match(await firstEvent(daemon, 'MEDIA_DISK_FULL'), /"name":"one"/);
  rmSync(filler);
  await firstEvent(daemon, 'MEDIA_DISK_FREED');
  while ((await ask(daemon, 'one', 'filled')) !== 'all') await pause(200);
});

test('an image that cannot be had fails the create, and leaves nothing', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator', ...MEDIA });
  const site = await serveImage(t, IMAGE);
  const { body: manifest } = await daemon.call('GET', '/api/v1/plugins/hello');
  const create = (disk: object) =>
    daemon.call('POST', '/api/v1/vms', {
      name: 'vm',
      config: { manifest: { ...manifest, disks: [{ name: 'data', ...disk }] } },
    });
  const wrong = await create({ source: site.url, checksum: `sha256:${'0'.repeat(64)}` });
  assert.equal(wrong.status, 400, wrong.text);
  assert.equal(wrong.body.code, 'MEDIA_CHECKSUM_MISMATCH');
  const outside = await create({ source: '/etc/passwd' });
  assert.equal(outside.body.code, 'MEDIA_NOT_ALLOWED');
  const format = await create({ source: site.url, format: 'qcow2' });
  assert.equal(format.body.code, 'MEDIA_INVALID');
  const name = await create({ source: site.url, name: '../escape' });
  assert.equal(name.status, 400);
  assert.match(JSON.stringify(name.body.details), /disks\[0\]\.name/);
  assert.equal((await daemon.call('GET', '/api/v1/vms')).body.length, 0);
  assert.deepEqual(daemon.taps(), []);
  assert.deepEqual(disksOf(daemon), []);
});

test('a file that is no disk is refused before anything is made or changed', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator', ...MEDIA });
  const path = join(daemon.home, 'images', 'disk.img');
  mkdirSync(join(daemon.home, 'images'), { recursive: true });
  const vmdk = Buffer.alloc(2 ** 20);
  vmdk.write('KDMV');
  writeFileSync(path, vmdk);
  assert.equal(
    (await daemon.call('POST', '/api/v1/vms', { name: 'one', plugin: 'hello' })).status,
    201,
  );
  const config = { plugin: 'hello', rootfs: { url: path } };
  const before = (await daemon.call('GET', '/api/v1/operations')).text;
  const answers = [
    await daemon.call('POST', '/api/v1/vms', { name: 'two', config }),
    await daemon.call('POST', '/api/v1/deployments', { name: 'web', replicas: 2, config }),
    await daemon.call('PATCH', '/api/v1/vms/one/config', { rootfs: { url: path } }),
  ];
  for (const [index, { status, body }] of answers.entries()) {
    assert.deepEqual([status, body.code], [400, 'MEDIA_INVALID']);
    const field = index === 1 ? 'config.rootfs.url' : 'rootfs.url';
    assert.match(body.details[field], /is a VMDK image: convert it with qemu-img convert -f vmdk/);
  }
  assert.equal((await daemon.call('GET', '/api/v1/operations')).text, before);
  assert.deepEqual((await daemon.call('GET', '/api/v1/deployments')).body, []);
  assert.equal((await daemon.call('GET', '/api/v1/vms/one/config')).body.version, 1);
  assert.deepEqual(disksOf(daemon), []);
});
