// What users of images rely on: a file that cannot be the disk, kernel or initramfs that it was named as is refused when
// the VM is made, by its name and with what to do.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { loadConfig } from '../../../../../src/config.ts';
import type { BootFile, DiskImage } from '../../../../../src/engine/ports/media-ports.ts';
import { createHost } from '../../../../../src/host/host.ts';
import {
  initramfsProblem,
  kernelProblem,
} from '../../../../../src/host/jobs/media/formats/boot-files.ts';
import type { FileSystem } from '../../../../../src/lib/formats/image-formats.ts';
import { startThreads } from '../../../../../src/workers/pool.ts';
import { silentLog } from '../../../../engine/fakes.ts';
import { IMAGES, requireCapability } from '../../../../helpers/capabilities.ts';

const MEBIBYTE = 2 ** 20;

function place(t: TestContext, settings: Record<string, string> = {}) {
  const home = mkdtempSync(join(tmpdir(), 'volant-kinds-'));
  const environment = { VOLANT_HOME: home, VOLANT_MEDIA_DIRS: home, ...settings };
  const host = createHost(loadConfig(environment), silentLog, startThreads);
  t.after(async () => {
    await host.close();
    rmSync(home, { recursive: true });
  });
  const path = join(home, 'image');
  const provide = async (content: Uint8Array | null, more: Partial<DiskImage> = {}) => {
    if (content !== null) writeFileSync(path, content);
    await host.media.removeDisks(1);
    const disk: DiskImage = {
      name: 'data',
      field: 'disks[0].source',
      reference: { location: path, checksum: null },
      path,
      format: 'raw',
      fileSystem: null,
      isRoot: false,
      readonly: false,
      made: null,
      ...more,
    };
    return await host.media.provideDisks(1, [disk], null);
  };
  const refuse = (content: Uint8Array | null, message: RegExp, more: Partial<DiskImage> = {}) =>
    assert.rejects(provide(content, more), { code: 'MEDIA_INVALID', status: 400, message });
  return { host, home, path, provide, refuse };
}

/** Bytes at their places in an image of zeros. */
function imageWith(parts: Record<number, string | Buffer>, sizeBytes = MEBIBYTE): Buffer {
  const image = Buffer.alloc(sizeBytes);
  for (const [at, bytes] of Object.entries(parts)) {
    (typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes).copy(image, Number(at));
  }
  return image;
}

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

suite('files that are no disk', () => {
  test('images of other programs, made by qemu-img, are named with the command that converts them', async (t) => {
    if (!requireCapability(t, 'qemu-img')) return;
    const { home, path, refuse } = place(t);
    const source = join(home, 'source');
    writeFileSync(source, 'a disk');
    truncateSync(source, MEBIBYTE);
    const variants: [string, string, string[]][] = [
      ['vmdk', 'VMDK', []],
      ['vmdk', 'VMDK', ['-o', 'subformat=streamOptimized']],
      ['vmdk', 'VMDK', ['-o', 'subformat=monolithicFlat']],
      ['vdi', 'VDI', []],
      ['vhdx', 'VHDX', []],
      ['vpc', 'VHD', []],
      ['vpc', 'VHD', ['-o', 'subformat=fixed']],
      ['qed', 'QED', []],
      ['parallels', 'Parallels', []],
    ];
    for (const [format, name, options] of variants) {
      execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', format, ...options, source, path]);
      const message = RegExp(`${name}.*qemu-img convert -f ${format} -O qcow2`);
      await refuse(null, message);
      await refuse(null, message, { format: 'qcow2' });
      await refuse(null, message, { fileSystem: 'ext4' });
    }
  });

  test('what is packed is named with the command that unpacks it', async (t) => {
    const { refuse } = place(t);
    await refuse(gzipSync('disk'), /compressed with gzip: unpack it with gunzip/);
    const heads: Record<string, string> = {
      xz: '\xfd7zXZ\0',
      'zstd -d': '(\xb5/\xfd',
      bunzip2: 'BZh91AY&SY',
      lz4: '\x04"M\x18',
      'simg2img|sparse': ':\xff&\xed',
      ZIP: 'PK\x03\x04',
      'web page': '\n<!DOCTYPE html><title>404</title>',
      'Git LFS': 'version https://git-lfs.github.com/spec/v1\noid sha256:00\n',
      cpio: '07070100',
    };
    for (const [name, head] of Object.entries(heads)) {
      await refuse(imageWith({ 0: head }), RegExp(name));
    }
    await refuse(imageWith({ 257: 'ustar' }), /tar archive/);
    await refuse(Buffer.from('<html>'), /web page/);
  });

  test('no system starts from an ISO image or an encrypted disk, and a guest may have both as a disk', async (t) => {
    const { provide, refuse } = place(t);
    const [iso, luks] = [imageWith({ 32769: 'CD001' }), imageWith({ 0: 'LUKS\xba\xbe' })];
    await refuse(iso, /ISO 9660/, { isRoot: true });
    await refuse(luks, /LUKS/, { isRoot: true });
    await provide(iso, { readonly: true });
    await provide(luks);
  });

  test('a disk of anything else is a disk, also a short one', async (t) => {
    const { provide } = place(t);
    for (const content of ['x', 'BZh is no archive', '#!/bin/sh\n']) {
      await provide(Buffer.from(content));
    }
    await provide(brotliCompressSync('disk'));
    await provide(imageWith({ 510: '\x55\xaa' }));
  });
});

suite('file systems and partition tables', () => {
  const superBlocks: Record<FileSystem, Record<number, string | Buffer>> = {
    ext2: { 1080: '\x53\xef', 1028: u32(1024) },
    ext3: { 1080: '\x53\xef', 1028: u32(1024) },
    ext4: { 1080: '\x53\xef', 1028: u32(1024) },
    xfs: { 0: 'XFSB\0\0\x10\0\0\0\0\0\0\0\x01\0' },
    btrfs: { 65600: '_BHRfS_M', 65648: u64(MEBIBYTE), 65672: u64(1) },
    squashfs: { 0: 'hsqs', 40: u64(MEBIBYTE) },
    erofs: { 1024: u32(0xe0f5e1e2), 1036: '\x0c', 1060: u32(256) },
  };

  test('a format that is a file system is a raw image that holds it', async (t) => {
    const { provide, refuse } = place(t);
    for (const [name, parts] of Object.entries(superBlocks)) {
      const fileSystem = name as FileSystem;
      const [disk] = await provide(imageWith(parts), { fileSystem, readonly: true });
      assert.equal(disk?.format, 'raw');
      await refuse(imageWith({}), RegExp(`should hold ${name}, but holds no`), {
        fileSystem,
      });
      const other = name === 'xfs' ? 'squashfs' : 'xfs';
      const others = imageWith(superBlocks[other]);
      await refuse(others, RegExp(`hold ${name}, but holds ${other}`), { fileSystem });
      // The same super block in a file that lost its end.
      await refuse(imageWith(parts).subarray(0, 70 * 1024), /is truncated/);
    }
  });

  test('what mke2fs makes is right, and truncated when its end is missing', async (t) => {
    if (!requireCapability(t, 'mke2fs')) return;
    const { path, provide, refuse } = place(t);
    for (const type of ['ext2', 'ext4']) {
      rmSync(path, { force: true });
      execFileSync('/usr/sbin/mke2fs', ['-q', '-t', type, path, '8M']);
      await provide(null, { fileSystem: 'ext4', isRoot: true });
      truncateSync(path, 8 * MEBIBYTE - 1024);
      await refuse(null, /is truncated: its ext4 file system has 8388608 bytes, the file 8387584/);
    }
  });

  test('a partition table must be for the sectors that a guest sees, and for no larger disk', async (t) => {
    const { provide, refuse } = place(t);
    const table = (sectorBytes: number, lastSector: number) =>
      imageWith({ [sectorBytes]: 'EFI PART', [sectorBytes + 48]: u64(lastSector) });
    await provide(table(512, 2000), { isRoot: true });
    await refuse(table(512, 4000), /is truncated: its partition table/);
    await refuse(table(4096, 200), /sectors of 4096 bytes/);
    await refuse(table(512, 2000), /should hold ext4, but holds a partition table/, {
      fileSystem: 'ext4',
    });
    // What a file system left behind is not looked at where partitions are.
    const mixed = { ...superBlocks.ext4, 1028: u32(9999), 510: '\x55\xaa', 450: '\x83' };
    await refuse(imageWith(mixed), /is truncated/);
    await provide(imageWith({ ...mixed, 458: u32(100) }));
  });
});

suite('qcow2 images that were truncated', () => {
  test('a table or a cluster behind the end of the file is noticed', async (t) => {
    if (!requireCapability(t, 'qemu-img')) return;
    const { home, path, provide, refuse } = place(t);
    const source = join(home, 'source');
    const noise = Buffer.from(Array.from({ length: MEBIBYTE }, (_, at) => (at * 7919) >> 5));
    writeFileSync(source, noise);
    for (const options of [[], ['-c'], ['-o', 'extended_l2=on,cluster_size=64k']]) {
      execFileSync('qemu-img', ['convert', '-O', 'qcow2', ...options, source, path]);
      const whole = readFileSync(path);
      await provide(null, { format: 'qcow2' });
      await refuse(whole.subarray(0, whole.length * 0.8), /is truncated/, { format: 'qcow2' });
      await refuse(whole.subarray(0, 4 * 65536), /is truncated/, { format: 'qcow2' });
    }
  });
});

suite('what a guest starts from', () => {
  test('a kernel is a bzImage, a vmlinux or of multiboot', () => {
    const elf = (type: number, machine: number) =>
      Buffer.concat([Buffer.from('\x7fELF'), Buffer.alloc(12), Buffer.from([type, 0, machine, 0])]);
    assert.equal(kernelProblem(imageWith({ 514: 'HdrS' }, 8192)), null);
    assert.equal(kernelProblem(elf(2, 62)), null);
    assert.equal(kernelProblem(elf(2, 3)), null);
    assert.equal(kernelProblem(imageWith({ 64: u32(0x1badb002) }, 8192)), null);
    assert.match(kernelProblem(elf(3, 62)) ?? '', /a program/);
    assert.match(kernelProblem(elf(2, 183)) ?? '', /another processor/);
    assert.match(kernelProblem(imageWith({ 56: 'ARM\x64' }, 8192)) ?? '', /another processor/);
    assert.match(kernelProblem(gzipSync('kernel')) ?? '', /gunzip/);
    for (const text of ['', 'x', '#!/bin/sh\n', '070701', '\x7fELF']) {
      assert.ok(kernelProblem(Buffer.from(text)), text);
    }
  });

  test('an initramfs is a cpio archive, packed or not', () => {
    const archive = Buffer.from(`070701${'0'.repeat(200)}`);
    for (const fine of [archive, gzipSync(archive), Buffer.concat([Buffer.alloc(512), archive])]) {
      assert.equal(initramfsProblem(fine), null);
    }
    for (const head of ['BZh9', ']\0\0', '\xfd7zXZ\0', '\x02!L\x18', '(\xb5/\xfd', '\x89LZO\0']) {
      assert.equal(initramfsProblem(Buffer.from(head, 'latin1')), null, head);
    }
    const long = gzipSync(Buffer.concat([archive, Buffer.alloc(MEBIBYTE)]), { level: 0 });
    assert.equal(initramfsProblem(long.subarray(0, 8192)), null, 'its beginning is enough');
    const wrong: [Buffer, RegExp][] = [
      [gzipSync('a disk image'), /not a cpio archive/],
      [Buffer.from('\x1f\x8bxx', 'latin1'), /is not one/],
      [Buffer.from('070707000'), /newc/],
      [imageWith({ 257: 'ustar' }, 512), /tar/],
      [Buffer.from('\x04"M\x18', 'latin1'), /lz4 -l/],
      [Buffer.from('#!/bin/sh'), /not an initramfs/],
      [Buffer.alloc(512), /not an initramfs/],
      [Buffer.alloc(0), /not an initramfs/],
    ];
    for (const [head, message] of wrong) assert.match(initramfsProblem(head) ?? '', message);
  });

  test('a file that is no disk is refused where it is looked up as one', async (t) => {
    const { host, path } = place(t);
    writeFileSync(path, imageWith({ 0: 'KDMV' }));
    const disk = { format: 'raw', fileSystem: null, isRoot: true } as const;
    const refused = { code: 'MEDIA_INVALID', message: /image is a VMDK image: convert it/ };
    await assert.rejects(host.media.inspectMedia(path, null, disk), refused);
    assert.equal((await host.media.inspectMedia(path, null)).sizeBytes, MEBIBYTE);
    const holds = /should hold ext4, but holds/;
    writeFileSync(path, imageWith({}));
    await assert.rejects(host.media.inspectMedia(path, null, { ...disk, fileSystem: 'ext4' }), {
      message: holds,
    });
    await host.media.inspectMedia(path, null, disk);
  });

  test('what is none is refused by its name where it is named', async (t) => {
    const { host, path } = place(t);
    writeFileSync(path, 'neither');
    const inspect = (kind: BootFile) => host.media.inspectMedia(path, null, kind);
    for (const [kind, message] of [
      ['kernel', /image is not a kernel/],
      ['initramfs', /image is not an initramfs/],
    ] as const) {
      await assert.rejects(inspect(kind), { code: 'MEDIA_INVALID', message });
    }
    const noted = { reference: { location: 'http://images/x', checksum: null }, path };
    await assert.rejects(host.media.provideDisks(1, [], noted), {
      code: 'MEDIA_INVALID',
      message: /The initramfs is not an initramfs/,
    });
  });

  test('the simulator starts from nothing, and takes any file', async (t) => {
    const { host, path } = place(t, { VOLANT_HYPERVISOR: 'simulator' });
    writeFileSync(path, 'neither');
    await host.media.inspectMedia(path, null, 'kernel');
    await host.media.inspectMedia(path, null, 'initramfs');
  });

  test('what is shipped is what it should be', async (t) => {
    if (!requireCapability(t, 'kernel')) return;
    const { host } = place(t, { VOLANT_MEDIA_DIRS: IMAGES });
    await host.media.inspectMedia(join(IMAGES, 'vmlinux'), null, 'kernel');
    await host.media.inspectMedia(join(IMAGES, 'hello.cpio'), null, 'initramfs');
    await host.media.inspectMedia(join(IMAGES, 'boot.cpio'), null, 'initramfs');
  });
});
