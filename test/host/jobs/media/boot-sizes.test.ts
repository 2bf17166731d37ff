// The sizes of kernels and initramfs are what their headers say; of what is unknown at least the file is counted.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { measureBoot } from '../../../../src/host/jobs/media/boot-sizes.ts';
import { PROJECT_ROOT, requireCapability } from '../../../helpers/capabilities.ts';

function fileWith(t: TestContext, bytes: Uint8Array): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-boot-sizes-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'file');
  writeFileSync(path, bytes);
  return path;
}

/** An ELF head with loadable segments of these sizes in memory, and one that is not loaded. */
function elf(sizes: readonly number[]): Buffer {
  const head = Buffer.alloc(4096);
  head.write('\x7fELF\x02', 'latin1');
  head.writeBigUInt64LE(64n, 32);
  head.writeUInt16LE(sizes.length + 1, 56);
  for (const [index, size] of [...sizes, 1_000_000].entries()) {
    head.writeUInt32LE(index < sizes.length ? 1 : 4, 64 + index * 56);
    head.writeBigUInt64LE(BigInt(size), 64 + index * 56 + 40);
  }
  return head;
}

suite('sizes for a boot', () => {
  const kernelBytes = (kernelPath: string) =>
    measureBoot({ kernelPath, initramfsPath: null }).kernelBytes;

  test('of an uncompressed kernel are those of its segments', (t) => {
    assert.equal(kernelBytes(fileWith(t, elf([100, 20_000, 3]))), 20_103);
  });

  test('of a bzImage are those of the kernel in it', (t) => {
    const head = Buffer.alloc(4096);
    head.write('HdrS', 0x202);
    head.writeUInt32LE(7_000_000, 0x260);
    assert.equal(kernelBytes(fileWith(t, head)), 6_000_000);
  });

  test('of other files are not known', (t) => {
    const wide = elf([1]);
    wide.writeUInt16LE(65_535, 56);
    for (const bytes of [Buffer.alloc(1), Buffer.alloc(65_536), wide, Buffer.from('\x7fELF')]) {
      assert.equal(kernelBytes(fileWith(t, bytes)), null);
    }
  });

  test('of an initramfs are packed and unpacked', (t) => {
    const sizesOf = (bytes: Uint8Array) =>
      measureBoot({ kernelPath: fileWith(t, Buffer.alloc(1)), initramfsPath: fileWith(t, bytes) })
        .initramfs;
    const content = Buffer.alloc(1_000_000, '070701');
    assert.deepEqual(sizesOf(content), { packedBytes: 1_000_000, unpackedBytes: 1_000_000 });
    const packed = gzipSync(content);
    const packedBytes = packed.length;
    assert.deepEqual(sizesOf(packed), { packedBytes, unpackedBytes: 1_000_000 });
    assert.deepEqual(sizesOf(packed.subarray(0, 3))?.packedBytes, 3);
  });

  test('of the kernel that is shipped are found', (t) => {
    const kernel = join(PROJECT_ROOT, 'build/images/vmlinux');
    if (!requireCapability(t, 'kernel')) return;
    const bytes = kernelBytes(kernel) ?? 0;
    assert.ok(bytes > 20 * 2 ** 20 && bytes < 200 * 2 ** 20, `${bytes} bytes`);
  });
});
