// scripts: an image contains what the guest needs, in the required order, and the same input gives the same bytes.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { loadScript } from './load.ts';

interface PackRequest {
  agent: string;
  busybox: string;
  kernelModulesDirectory: string;
  modules?: readonly string[];
  overlays?: readonly string[];
  output: string;
}

const { packInitramfs } = await loadScript<{
  packInitramfs(request: PackRequest): Promise<{ bytes: number; modules: string[] }>;
}>('lib/guest/initramfs.mjs');
const { findBusybox } = await loadScript<{ findBusybox(): string | null }>(
  'lib/systems/debian.mjs',
);
const { guestKernel } = await loadScript<{
  guestKernel(): Promise<{ modulesDirectory: string }>;
}>('setup.mjs');

function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-image-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function tree(root: string, files: Readonly<Record<string, string>>): string {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return root;
}

/** A request without kernel modules, for what is not about them. */
function request(directory: string, overlays: readonly string[]): PackRequest {
  const modules = join(directory, 'modules');
  mkdirSync(join(modules, 'kernel'), { recursive: true });
  writeFileSync(join(directory, 'agent'), 'the agent');
  return {
    agent: join(directory, 'agent'),
    busybox: findBusybox() ?? assert.fail('busybox is missing: run npm run setup'),
    kernelModulesDirectory: modules,
    modules: [],
    overlays,
    output: join(directory, 'image.cpio'),
  };
}

/** Unpacks with a program that is not ours. */
function unpack(directory: string, { output, busybox }: PackRequest): string {
  const target = join(directory, 'unpacked');
  mkdirSync(target);
  execFileSync(busybox, ['cpio', '-idm'], {
    cwd: target,
    input: readFileSync(output),
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  return target;
}

test('an image has the agent as /init, busybox with its links, devices and mount points', async (t) => {
  if (!requireCapability(t, 'root')) return;
  const directory = temporaryDirectory(t);
  const packed = request(directory, [tree(join(directory, 'own'), { 'srv/text': 'own text' })]);
  const { bytes } = await packInitramfs(packed);
  assert.equal(bytes, lstatSync(packed.output).size);
  const root = unpack(directory, packed);
  assert.equal(readFileSync(join(root, 'init'), 'utf8'), 'the agent');
  assert.equal(lstatSync(join(root, 'init')).mode & 0o777, 0o755);
  assert.equal(readFileSync(join(root, 'srv/text'), 'utf8'), 'own text');
  assert.equal(readlinkSync(join(root, 'bin/sh')), '/bin/busybox');
  assert.equal(lstatSync(join(root, 'dev/console')).rdev, 5 * 256 + 1);
  assert.equal(lstatSync(join(root, 'dev/null')).rdev, 1 * 256 + 3);
  for (const mountPoint of ['proc', 'sys', 'run', 'tmp', 'etc', 'root']) {
    assert.ok(lstatSync(join(root, mountPoint)).isDirectory(), mountPoint);
  }
});

test('an image can be read by hypervisors, which are other users, whatever the umask is', async (t) => {
  const directory = temporaryDirectory(t);
  const packed = request(directory, []);
  const usual = process.umask(0o077);
  t.after(() => process.umask(usual));
  await packInitramfs(packed);
  assert.equal(lstatSync(packed.output).mode & 0o777, 0o644);
});

test('later overlays win over earlier ones, and both over busybox', async (t) => {
  const directory = temporaryDirectory(t);
  const first = tree(join(directory, 'first'), { 'etc/name': 'first', 'bin/ls': 'own ls' });
  const second = tree(join(directory, 'second'), { 'etc/name': 'second' });
  chmodSync(join(first, 'bin/ls'), 0o700);
  const packed = request(directory, [first, second]);
  packed.output = join(directory, 'both.cpio');
  await packInitramfs(packed);
  const listing = listOf(packed);
  assert.equal(contentOf(packed, 'etc/name'), 'second');
  assert.equal(contentOf(packed, 'bin/ls'), 'own ls');
  assert.match(listing, /^-rwx------ .* bin\/ls$/m);
});

test('the root file system of a distribution keeps its links, and busybox goes through them', async (t) => {
  const directory = temporaryDirectory(t);
  const own = tree(join(directory, 'own'), { 'usr/bin/sh': 'own shell' });
  symlinkSync('usr/bin', join(own, 'bin'));
  const packed = request(directory, [own]);
  await packInitramfs(packed);
  const listing = listOf(packed);
  assert.match(listing, /^l.* bin -> usr\/bin$/m);
  assert.match(listing, / usr\/bin\/busybox$/m);
  assert.equal(contentOf(packed, 'usr/bin/sh'), 'own shell');
});

test('the same input gives the same bytes', async (t) => {
  const directory = temporaryDirectory(t);
  const own = tree(join(directory, 'own'), { 'b/2': 'two', 'a/1': 'one', 'a-b': 'between' });
  const packed = request(directory, [own]);
  await packInitramfs(packed);
  const before = readFileSync(packed.output);
  await packInitramfs({ ...packed, output: join(directory, 'again.cpio') });
  assert.ok(before.equals(readFileSync(join(directory, 'again.cpio'))));
});

test('a tree with an /init of its own is refused, and no half-written image stays', async (t) => {
  const directory = temporaryDirectory(t);
  const own = tree(join(directory, 'own'), { init: '#!/bin/sh' });
  await assert.rejects(packInitramfs(request(directory, [own])), /\/init is the agent/);
  const images = readdirSync(directory).filter((name) => name.includes('.cpio'));
  assert.deepEqual(images, []);
});

test('modules come after what they need, and what is built in is left out', async (t) => {
  if (!requireCapability(t, 'kernel')) return;
  const directory = temporaryDirectory(t);
  const { modulesDirectory } = await guestKernel();
  const { modules: _, ...rest } = request(directory, []);
  const { modules } = await packInitramfs({ ...rest, kernelModulesDirectory: modulesDirectory });
  const place = (name: string) => modules.indexOf(name);
  for (const [needed, needing] of [
    ['virtio_ring', 'virtio'],
    ['virtio', 'virtio_mmio'],
    ['net_failover', 'virtio_net'],
  ] as const) {
    if (modules.includes(needed)) assert.ok(place(needed) < place(needing), `${needed} first`);
  }
  const inImage = listOf(rest).matchAll(/ mods\/(\d\d)-(.*)\.ko$/gm);
  assert.deepEqual(
    [...inImage].map(([, , name]) => name),
    modules,
  );
});

test('a module that the kernel does not have is named', async (t) => {
  const directory = temporaryDirectory(t);
  const wanted = { ...request(directory, []), modules: ['no_such_module'] };
  await assert.rejects(packInitramfs(wanted), /has no module no_such_module/);
});

function listOf({ busybox, output }: PackRequest): string {
  return readArchive(busybox, output, '-tv');
}

function contentOf({ busybox, output }: PackRequest, path: string): string {
  return readArchive(busybox, output, '-i', '--to-stdout', path);
}

function readArchive(busybox: string, archive: string, ...args: string[]): string {
  return execFileSync(busybox, ['cpio', ...args], {
    input: readFileSync(archive),
    stdio: ['pipe', 'pipe', 'ignore'],
    encoding: 'utf8',
  });
}
