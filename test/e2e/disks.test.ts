// e2e: images from the network and disks, as real guests see them.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { askGuest, type Daemon, startDaemon } from './daemon.ts';
import { installProbe } from './probe-image.ts';

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
  return { url: `http://127.0.0.1:${port}/image.raw`, requests: () => requests };
}

const ask = async (daemon: Daemon, name: string, what: string) => {
  const { ip_address } = await daemon.getVm(name);
  return (await askGuest(ip_address, `/v1/cgi-bin/${what}`)).trim();
};

/** Ids of VMs that have disks; the directory is made with the first. */
function disksOf({ home }: Daemon): string[] {
  const directory = join(home, 'disks');
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** The data of the first event of a type, from the beginning of all events. */
async function firstEvent(daemon: Daemon, type: string): Promise<string> {
  const response = await fetch(`${daemon.url}/api/v1/events?type=${type}`, {
    headers: { 'last-event-id': '0' },
    signal: AbortSignal.timeout(10_000),
  });
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString();
    const data = /^data: (.*)\n/m.exec(text)?.[1];
    if (data !== undefined) return data;
  }
  throw new Error(`no event ${type}: ${text}`);
}

test('disks are what the manifest says, and keep what the guest wrote over stop and start', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
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
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
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

test('an image that cannot be had fails the create, and leaves nothing', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
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
