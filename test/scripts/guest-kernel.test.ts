// scripts: the kernel for guests is found and unpacked, with every compression. A kernel that cannot be unpacked is booted
// unchanged.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { requireCapability } from '../helpers/capabilities.ts';
import { loadScript } from './load.ts';

interface Kernel {
  readonly version: string;
  readonly bzImage: string;
  readonly modulesDirectory: string;
  readonly madeForGuests: boolean;
}

const { extractKernel, findKernel } = await loadScript<{
  extractKernel(bzImage: Buffer): Buffer | null;
  findKernel(root: string): Kernel | null;
}>('lib/guest/guest-kernel.mjs');
const { guestKernel } = await loadScript<{ guestKernel(): Promise<Kernel> }>('setup.mjs');

const OPTIONS = [
  'ACPI=y',
  'BLK_DEV_INITRD=y',
  'DEVTMPFS=y',
  'SERIAL_8250_CONSOLE=y',
  'VIRTIO_CONSOLE=m',
  'VIRTIO_MMIO=m',
  'VIRTIO_NET=m',
  'VIRTIO_PCI=m',
];

/** A root directory with these kernels: version -> lines of the config. `modules` is where packages put modules. */
function rootWith(
  t: TestContext,
  kernels: Readonly<Record<string, readonly string[]>>,
  modules = 'lib/modules',
): string {
  const root = mkdtempSync(join(tmpdir(), 'volant-kernel-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, 'boot'));
  for (const [version, options] of Object.entries(kernels)) {
    mkdirSync(join(root, modules, version, 'kernel'), { recursive: true });
    writeFileSync(join(root, 'boot', `vmlinuz-${version}`), '');
    const config = options.map((option) => `CONFIG_${option}\n`).join('');
    writeFileSync(join(root, 'boot', `config-${version}`), config);
  }
  return root;
}

/** A 64-bit ELF file with one note; `type` 18 of Xen is the entry for hypervisors. */
function elfWithNote(owner: string, type: number): Buffer {
  const elf = Buffer.alloc(64 + 56 + 12 + 4 + 8);
  elf.write('\x7fELF\x02\x01\x01', 'latin1');
  elf.writeBigUInt64LE(64n, 0x20); // program headers
  elf.writeUInt16LE(56, 0x36);
  elf.writeUInt16LE(1, 0x38);
  elf.writeUInt32LE(4, 64); // PT_NOTE
  elf.writeBigUInt64LE(120n, 64 + 0x08);
  elf.writeBigUInt64LE(24n, 64 + 0x20);
  elf.writeUInt32LE(4, 120);
  elf.writeUInt32LE(8, 124);
  elf.writeUInt32LE(type, 128);
  elf.write(`${owner}\0`, 132, 'latin1');
  return elf;
}

/** A bzImage with this payload: the fields of the boot protocol that say where it is. */
function bzImageWith(payload: Buffer): Buffer {
  const setupSectors = 2;
  const head = Buffer.alloc((setupSectors + 1) * 512 + 16);
  head[0x1f1] = setupSectors;
  head.write('HdrS', 0x202, 'latin1');
  head.writeUInt16LE(0x020f, 0x206);
  head.writeUInt32LE(16, 0x248);
  head.writeUInt32LE(payload.length + 4, 0x24c);
  const unpackedSize = Buffer.alloc(4);
  return Buffer.concat([head, payload, unpackedSize, Buffer.from('what follows')]);
}

test('a kernel is unpacked when it can be entered directly', () => {
  const kernel = elfWithNote('Xen', 18);
  const unpacked = extractKernel(bzImageWith(gzipSync(kernel)));
  assert.ok(unpacked?.equals(kernel));
});

test('a kernel that cannot be entered directly is left as it is', () => {
  assert.equal(extractKernel(bzImageWith(gzipSync(elfWithNote('Xen', 17)))), null);
  assert.equal(extractKernel(bzImageWith(gzipSync(elfWithNote('GNU', 18)))), null);
  assert.equal(extractKernel(bzImageWith(gzipSync('not even ELF'))), null);
});

test('an unknown compression and a file that is no kernel are left as they are', () => {
  assert.equal(extractKernel(bzImageWith(Buffer.from('BZh91AY&SY'))), null);
  assert.equal(extractKernel(Buffer.alloc(4096, 'x')), null);
  assert.equal(extractKernel(Buffer.alloc(0)), null);
});

test('a kernel made for guests is preferred, then the newest', (t) => {
  const root = rootWith(t, {
    '6.9.0-amd64': OPTIONS,
    '6.1.0-9-cloud-amd64': OPTIONS,
    '6.1.0-10-cloud-amd64': OPTIONS,
  });
  assert.equal(findKernel(root)?.version, '6.1.0-10-cloud-amd64');
  const general = rootWith(t, { '6.9.0-amd64': OPTIONS, '6.10.0-amd64': OPTIONS });
  assert.equal(findKernel(general)?.version, '6.10.0-amd64');
  assert.equal(findKernel(general)?.madeForGuests, false);
});

test('a kernel without virtio devices or without its modules does not fit', (t) => {
  const withoutVirtio = OPTIONS.filter((option) => !option.startsWith('VIRTIO_NET'));
  assert.equal(findKernel(rootWith(t, { '6.1.0-amd64': withoutVirtio })), null);
  const root = rootWith(t, { '6.1.0-amd64': OPTIONS });
  rmSync(join(root, 'lib'), { recursive: true });
  assert.equal(findKernel(root), null);
});

test('modules are found below lib and below usr/lib, also where lib is a link', (t) => {
  const version = '6.12.1-cloud-amd64';
  const old = rootWith(t, { [version]: OPTIONS });
  assert.equal(findKernel(old)?.modulesDirectory, join(old, 'lib/modules', version));
  const merged = rootWith(t, { [version]: OPTIONS }, 'usr/lib/modules');
  assert.equal(findKernel(merged)?.modulesDirectory, join(merged, 'usr/lib/modules', version));
  symlinkSync('usr/lib', join(merged, 'lib'));
  assert.equal(findKernel(merged)?.modulesDirectory, join(merged, 'lib/modules', version));
});

test("the distribution's kernel can be unpacked", async (t) => {
  if (!requireCapability(t, 'kernel')) return;
  const kernel = extractKernel(readFileSync((await guestKernel()).bzImage));
  assert.equal(kernel?.toString('latin1', 0, 5), '\x7fELF\x02');
});
