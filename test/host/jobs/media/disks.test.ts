// What users of disks rely on: the image is shared and never changed, what a guest wrote is kept, and an
// image that could show a guest files of the host is refused. QEMU's own tool reads what we write.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadConfig } from '../../../../src/config.ts';
import { createHost } from '../../../../src/host/host.ts';
import type { VolantError } from '../../../../src/lib/errors.ts';
import { startThreads } from '../../../../src/workers/pool.ts';
import { silentLog } from '../../../engine/fakes.ts';
import { requireCapability } from '../../../helpers/capabilities.ts';

function place(t: TestContext, settings: Record<string, string> = {}) {
  const home = mkdtempSync(join(tmpdir(), 'volant-disks-'));
  const host = createHost(loadConfig({ VOLANT_HOME: home, ...settings }), silentLog, startThreads);
  t.after(async () => {
    await host.close();
    rmSync(home, { recursive: true });
  });
  const image = (name: string, sizeBytes: number, content = '') => {
    const path = join(home, name);
    writeFileSync(path, content);
    truncateSync(path, sizeBytes);
    return path;
  };
  return { host, home, image };
}

const qemuImg = (...args: string[]) => execFileSync('qemu-img', args, { encoding: 'utf8' });
const disk = (path: string, more: object = {}) =>
  ({
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
  }) as const;

test('an overlay has the size and the content of its image, and is right by QEMU’s own check', async (t) => {
  if (!requireCapability(t, 'qemu-img')) return;
  const { host, home, image } = place(t);
  for (const [name, size] of [
    ['small', 1000],
    ['middle', 600 * 2 ** 20],
    ['large', 3 * 2 ** 40],
  ] as const) {
    const base = image(name, size, `content of ${name}`);
    const [made] = await host.media.provideDisks(size, [disk(base)], null);
    assert.equal(made?.format, 'qcow2');
    qemuImg('check', made?.path ?? '');
    const info = JSON.parse(qemuImg('info', '--output=json', made?.path ?? ''));
    assert.equal(info['virtual-size'], Math.ceil(size / 512) * 512);
    assert.equal(info['backing-filename-format'], 'raw');
    assert.equal(info['full-backing-filename'], base);
    assert.ok(info['actual-size'] < 2 ** 20);
    const copy = join(home, 'copy');
    if (name === 'small') {
      qemuImg('convert', '-O', 'raw', made?.path ?? '', copy);
      assert.match(
        execFileSync('head', ['-c', '16', copy], { encoding: 'utf8' }),
        /content of small/,
      );
    }
  }
});

test('what a guest wrote is kept, and the image is as it was', async (t) => {
  if (!requireCapability(t, 'qemu-img')) return;
  const { host, home, image } = place(t);
  const base = image('base', 2 ** 20, 'of the image');
  const [first] = await host.media.provideDisks(1, [disk(base)], null);
  execFileSync('qemu-io', ['-c', 'write -P 0x41 0 512', first?.path ?? '']);
  const [again] = await host.media.provideDisks(1, [disk(base)], null);
  assert.equal(again?.path, first?.path);
  qemuImg('convert', '-O', 'raw', again?.path ?? '', join(home, 'seen'));
  const startOf = (path: string) => execFileSync('head', ['-c', '12', path], { encoding: 'utf8' });
  assert.equal(startOf(join(home, 'seen')), 'A'.repeat(12));
  assert.equal(startOf(base), 'of the image');
  const [other] = await host.media.provideDisks(2, [disk(base)], null);
  qemuImg('convert', '-O', 'raw', other?.path ?? '', join(home, 'other'));
  assert.equal(startOf(join(home, 'other')), 'of the image');
});

test('an image that was changed in its place is refused: the changes of the guest would not fit it', async (t) => {
  const { host, image } = place(t);
  const base = image('base', 2 ** 20);
  await host.media.provideDisks(1, [disk(base)], null);
  image('base', 2 ** 20 + 512);
  for (const readonly of [false, true]) {
    await assert.rejects(host.media.provideDisks(1, [disk(base, { readonly })], null), {
      code: 'MEDIA_INVALID',
      message: /put the old image back/,
    });
  }
  await host.media.removeDisks(1);
  await host.media.provideDisks(1, [disk(base)], null);
});

test('another reference is another image, and begins a new overlay', async (t) => {
  const { host, image } = place(t);
  const [one, two] = [image('one', 2 ** 20), image('two', 2 ** 21)];
  const [made] = await host.media.provideDisks(1, [disk(one)], null);
  const mark = (path = '') => writeFileSync(path, 'of the guest', { flag: 'a' });
  mark(made?.path);
  const size = (path = '') => statSync(path).size;
  const before = size(made?.path);
  const same = await host.media.provideDisks(1, [disk(one)], null);
  assert.equal(size(same[0]?.path), before, 'the same reference keeps it');
  const checked = { reference: { location: one, checksum: 'a'.repeat(64) } };
  const [third] = await host.media.provideDisks(1, [disk(one, checked)], null);
  assert.ok(size(third?.path) < before, 'another checksum begins a new one');
  mark(third?.path);
  const [fourth] = await host.media.provideDisks(1, [disk(two)], null);
  assert.ok(size(fourth?.path) < before, 'another location, too');
  // A read-only time between does not bring an overlay and another image together.
  mark(fourth?.path);
  await host.media.provideDisks(1, [disk(one, { readonly: true })], null);
  const [last] = await host.media.provideDisks(1, [disk(one)], null);
  assert.ok(size(last?.path) < before);
});

test('what a VM was made of is known as long as it is there as it was', async (t) => {
  const { host, image } = place(t);
  const [base, boot] = [image('base', 2 ** 20), image('boot', 2 ** 20)];
  const reference = { location: 'https://images/boot', checksum: null };
  assert.deepEqual(await host.media.recallImages(1), { initramfs: null, disks: new Map() });
  writeFileSync(boot, '070701', { flag: 'r+' });
  const readonly = disk(base, { readonly: true });
  await host.media.provideDisks(1, [readonly], { reference, path: boot });
  const known = await host.media.recallImages(1);
  assert.deepEqual(known.initramfs, { reference, path: boot, sizeBytes: 2 ** 20 });
  const { reference: ofDisk } = readonly;
  assert.deepEqual(known.disks.get('data'), { reference: ofDisk, path: base, sizeBytes: 2 ** 20 });
  image('base', 2 ** 20 + 512);
  rmSync(boot);
  const now = await host.media.recallImages(1);
  assert.deepEqual([now.initramfs, now.disks.size], [null, 0]);
});

test('an image of the cache that was downloaded again is the same image', async (t) => {
  const { host, home, image } = place(t);
  mkdirSync(join(home, 'cache/sha256'), { recursive: true });
  const cached = image(`cache/sha256/${'a'.repeat(64)}`, 2 ** 20);
  const reference = { location: 'https://images/one', checksum: null };
  await host.media.provideDisks(1, [disk(cached, { reference })], null);
  rmSync(cached);
  image(`cache/sha256/${'a'.repeat(64)}`, 2 ** 20);
  await host.media.provideDisks(1, [disk(cached, { reference })], null);
  assert.equal((await host.media.recallImages(1)).disks.size, 1);
});

test('an overlay whose note is lost is refused, not guessed at', async (t) => {
  const { host, home, image } = place(t);
  const base = image('base', 2 ** 20);
  await host.media.provideDisks(1, [disk(base)], null);
  writeFileSync(join(home, 'disks/1/data.base.json'), '');
  await assert.rejects(host.media.provideDisks(1, [disk(base)], null), { code: 'MEDIA_INVALID' });
});

test('a read-only disk is the image itself', async (t) => {
  const { host, image } = place(t);
  const base = image('base', 2 ** 20);
  const disks = await host.media.provideDisks(1, [disk(base, { readonly: true })], null);
  assert.deepEqual(disks, [{ path: base, format: 'raw', basePath: null, sizeBytes: 1048576 }]);
});

test('a qcow2 image that names other files, and one of another format, are refused', async (t) => {
  if (!requireCapability(t, 'qemu-img')) return;
  const { host, home, image } = place(t);
  const secret = image('secret', 2 ** 20);
  const trap = join(home, 'trap.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-b', secret, '-F', 'raw', trap);
  const external = join(home, 'external.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${join(home, 'd')}`, external, '1M');
  for (const path of [trap, external]) {
    const image = disk(path, { format: 'qcow2' });
    await assert.rejects(
      host.media.provideDisks(1, [image], null),
      { code: 'MEDIA_INVALID' },
      path,
    );
  }
  await assert.rejects(host.media.provideDisks(1, [disk(trap)], null), { code: 'MEDIA_INVALID' });
  await assert.rejects(host.media.provideDisks(1, [disk(secret, { format: 'qcow2' })], null), {
    code: 'MEDIA_INVALID',
  });
});

test('a qcow2 image that QEMU could not or must not open is refused before it tries', async (t) => {
  const { host, image } = place(t);
  const cluster = 65536;
  const good = Buffer.alloc(3 * cluster);
  good.writeUInt32BE(0x514649fb, 0);
  good.writeUInt32BE(3, 4);
  good.writeUInt32BE(16, 20);
  good.writeBigUInt64BE(2n ** 20n, 24);
  good.writeUInt32BE(1, 36);
  good.writeBigUInt64BE(BigInt(2 * cluster), 40);
  good.writeBigUInt64BE(BigInt(cluster), 48);
  good.writeUInt32BE(1, 56);
  good.writeUInt32BE(4, 96);
  good.writeUInt32BE(104, 100);
  const provide = (change: (head: Buffer) => void, format = 'qcow2') => {
    const head = Buffer.from(good);
    change(head);
    const path = image('image', 2 ** 16);
    writeFileSync(path, head);
    return host.media
      .removeDisks(1)
      .then(() => host.media.provideDisks(1, [disk(path, { format })], null));
  };
  await provide(() => undefined);
  // Damage that QEMU would tell of when the VM starts, or would read as an empty disk.
  const damage: ((head: Buffer) => void)[] = [
    (head) => head.writeUInt32BE(63, 20),
    (head) => head.writeUInt32BE(0, 36),
    (head) => head.writeUInt32BE(0xffffffff, 36),
    (head) => head.writeBigUInt64BE(BigInt(3 * cluster), 40),
    (head) => head.writeBigUInt64BE(100n, 40),
    (head) => head.writeBigUInt64BE(2n ** 63n, 48),
    (head) => head.writeUInt32BE(7, 96),
    (head) => head.writeUInt32BE(72, 100),
  ];
  for (const [index, change] of damage.entries()) {
    await assert.rejects(provide(change), { code: 'MEDIA_INVALID' }, `damage ${index}`);
  }
  await provide((head) => head.writeUInt32BE(2, 4));
  await provide((head) => head.writeUInt32BE(0b11001, 76));
  const wrong: Record<string, (head: Buffer) => void> = {
    'version 1': (head) => head.writeUInt32BE(1, 4),
    encrypted: (head) => head.writeUInt32BE(2, 32),
    corrupt: (head) => head.writeUInt32BE(2, 76),
    'unsupported features': (head) => head.writeUInt32BE(1, 72),
    'size of 0 bytes': (head) => head.writeBigUInt64BE(0n, 24),
    '4 TiB': (head) => head.writeBigUInt64BE(2n ** 42n + 1n, 24),
  };
  for (const [what, change] of Object.entries(wrong)) {
    await assert.rejects(provide(change), { code: 'MEDIA_INVALID', message: RegExp(what) }, what);
  }
});

test('a raw image that is larger than a disk can be is refused', async (t) => {
  const { host, image } = place(t);
  const path = image('huge', 2 ** 42 + 512);
  await assert.rejects(host.media.provideDisks(1, [disk(path)], null), {
    code: 'MEDIA_INVALID',
    details: { 'disks[0].source': 'is larger than 4 TiB' },
  });
});

test('the operator’s own initramfs may be anywhere, and a path with NUL is nowhere', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'volant-boot-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const boot = join(directory, 'boot.cpio');
  writeFileSync(boot, '070701');
  writeFileSync(join(directory, 'other'), 'other');
  const { host, home } = place(t, { VOLANT_BOOT_INITRAMFS: boot });
  assert.equal((await host.media.inspectMedia(boot, null)).realPath, boot);
  await assert.rejects(host.media.inspectMedia(join(directory, 'other'), null), {
    code: 'MEDIA_NOT_ALLOWED',
  });
  assert.equal(
    await host.media.isMissing(join(directory, 'nothing')),
    false,
    'nor whether it exists',
  );
  assert.equal(await host.media.isMissing(join(home, 'images/later.img')), true);
  const path = join(home, 'images/a\0b');
  await assert.rejects(host.media.inspectMedia(path, null), { code: 'MEDIA_INVALID' });
  await assert.rejects(host.media.readDocument(path), { code: 'DOCUMENT_NOT_FOUND' });
});

test('an overlay that a VM ran with is not made again when it is missing', async (t) => {
  const { host, home, image } = place(t);
  const base = image('image', 4096, 'content');
  const [made] = await host.media.provideDisks(7, [disk(base)], null);
  const reference = { location: base, checksum: null };
  const kept = disk(base, { made: { reference, sizeBytes: 4096 } });
  assert.deepEqual(await host.media.provideDisks(7, [kept], null), [made]);
  const refused = (image: typeof kept, why: RegExp) =>
    assert.rejects(host.media.provideDisks(7, [image], null), (error: VolantError) => {
      assert.equal(error.code, 'MEDIA_INVALID');
      assert.match(error.message, why);
      assert.match(error.message, /: put .*disks\/7\/data.qcow2 back from a backup, or delete/);
      return true;
    });
  const overlay = made?.path ?? '';
  const content = readFileSync(overlay);
  for (const cut of [0, 200, 70_000]) {
    truncateSync(overlay, cut);
    await refused(kept, /has lost what the guest wrote, its overlay was emptied or truncated/);
    writeFileSync(overlay, content);
  }
  assert.deepEqual(await host.media.provideDisks(7, [kept], null), [made]);
  // The disks of another day than the records.
  const other = image('other', 4096, 'another');
  await host.media.provideDisks(7, [disk(other)], null);
  await refused(kept, /has the overlay of another image than recorded/);
  const third = image('third', 4096, 'a third');
  const unknown = { made: { reference, sizeBytes: 4096 } };
  await refused(disk(third, unknown), /has an overlay that the records do not know/);
  // Another image is asked for than the one that the records name: that was made before its record.
  await host.media.provideDisks(7, [disk(other, unknown)], null);
  for (const lost of [overlay, join(home, 'disks/7')]) {
    rmSync(lost, { recursive: true });
    await refused(kept, /has lost what the guest wrote, its overlay is missing/);
  }
  // A disk that it never ran with is made.
  assert.equal((await host.media.provideDisks(7, [disk(base)], null)).length, 1);
});
