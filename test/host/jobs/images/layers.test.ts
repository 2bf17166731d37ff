// What whoever runs an image of somebody else relies on: layers become the file system that their makers meant, with owners,
// modes, links, nodes and attributes; and hostile ones reach nothing outside of it.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { lstatSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { TarInvalid } from '../../../../src/host/jobs/images/tar/tar-invalid.ts';
import { requireCapability } from '../../../helpers/capabilities.ts';
import { directory, type Entry, tar, tarEntry } from './image-maker.ts';
import { debugfs, listing, NO_SETTINGS, unpacked } from './workshop.ts';

const layersOf = (...layers: readonly (readonly (Entry | Buffer)[])[]) =>
  layers.map((entries) => ({ tar: tar(...entries) }));

/** The paths of a tree, without what every image gets. */
const paths = (root: string) =>
  Object.keys(listing(root)).filter((path) => path !== '/' && path !== '/etc');

async function refusal(t: TestContext, ...layers: readonly (readonly (Entry | Buffer)[])[]) {
  try {
    await unpacked(t, layersOf(...layers));
  } catch (error) {
    assert.ok(error instanceof TarInvalid, String(error));
    return error.message;
  }
  throw new Error('it was taken');
}

suite('layers of an image', () => {
  test('are applied one after the other: whiteouts, opaque directories, replaced kinds', async (t) => {
    if (!requireCapability(t, 'root', 'mke2fs')) return;
    const { root } = await unpacked(
      t,
      layersOf(
        [
          directory('keep/'),
          { path: 'keep/a', content: 'a' },
          directory('gone/'),
          { path: 'gone/b', content: 'b' },
          directory('opaque/'),
          { path: 'opaque/old', content: 'old' },
          directory('opaque/inner/'),
          { path: 'opaque/inner/old', content: 'old' },
          { path: 'file-then-directory', content: 'x' },
          directory('directory-then-file/'),
          { path: 'directory-then-file/x', content: 'x' },
        ],
        [
          { path: '.wh.gone' },
          { path: 'keep/.wh.a' },
          { path: 'keep/c', content: 'c' },
          directory('opaque/'),
          { path: 'opaque/new', content: 'new' },
          directory('opaque/inner/'),
          { path: 'opaque/inner/new', content: 'new' },
          // After what is new: it hides lower layers only.
          { path: 'opaque/.wh..wh..opq' },
          directory('file-then-directory/'),
          { path: 'file-then-directory/y', content: 'y' },
          { path: 'directory-then-file', content: 'z' },
        ],
        [{ path: '.wh.not-there' }, { path: 'nowhere/.wh.x' }, { path: '.wh..wh.plnk', type: '0' }],
        [],
      ),
    );
    assert.deepEqual(paths(root), [
      '/directory-then-file',
      '/file-then-directory',
      '/file-then-directory/y',
      '/keep',
      '/keep/c',
      '/opaque',
      '/opaque/inner',
      '/opaque/inner/new',
      '/opaque/new',
    ]);
  });

  test('keep owners, modes, set-user-ID, attributes, nodes, times and one file with several names', async (t) => {
    if (!requireCapability(t, 'root', 'mke2fs')) return;
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
    const { root, disk } = await unpacked(
      t,
      layersOf(
        [
          { path: 'su', content: 'su', mode: 0o4755, uid: 0, gid: 5, mtime: 1_500_000_000 },
          {
            path: 'ping',
            content: 'p',
            pax: {
              'SCHILY.xattr.security.capability': capability,
              'SCHILY.xattr.user.note': 'hello',
            },
          },
          directory('tmp/', { mode: 0o1777 }),
          { path: 'null', type: '3', mode: 0o666, device: [1, 3] },
          { path: 'disk', type: '4', mode: 0o660, device: [8, 1] },
          { path: 'pipe', type: '6', mode: 0o600 },
          { path: 'big-ids', content: '', pax: { uid: '3000000', gid: '4000000' } },
        ],
        [
          { path: 'su-again', type: '1', target: 'su', mode: 0o4755, gid: 5, mtime: 1_500_000_000 },
          { path: 'link', type: '2', target: '/su' },
          { path: 'link-again', type: '1', target: 'link' },
        ],
        // The lower name goes, the content stays under the other.
        [{ path: '.wh.su' }],
      ),
    );
    const found = listing(root);
    assert.match(found['/su-again'] ?? '', /^file 2 \w+ 4755 0:5 1500000000$/);
    assert.match(found['/tmp'] ?? '', / 1777 /);
    assert.match(found['/null'] ?? '', /^node 8192 259 666 /);
    assert.match(found['/disk'] ?? '', /^node 24576 2049 660 /);
    assert.match(found['/pipe'] ?? '', /^node 4096 0 600 /);
    assert.match(found['/big-ids'] ?? '', / 3000000:4000000 /);
    assert.match(found['/link-again'] ?? '', /^link to \/su .* same as \/link$/);
    assert.match(
      debugfs(disk, 'ea_list /ping'),
      /security\.capability.*\n.*user\.note \(5\) = "hello"|user\.note/s,
    );
    assert.match(debugfs(disk, 'ea_list /ping'), /security\.capability \(20\)/);
    assert.match(debugfs(disk, 'stat /su-again'), /Mode: {2}04755/);
    assert.match(debugfs(disk, 'stat /null'), /Type: character special[\s\S]*01:03/);
    assert.doesNotMatch(debugfs(disk, 'ls -l /'), /lost\+found/);
    assert.equal(spawnSync('e2fsck', ['-fn', disk]).status, 0);
  });

  test('never lead out of the image: links are followed within it', async (t) => {
    if (!requireCapability(t, 'root', 'mke2fs')) return;
    const outside = mkdtempSync(join(tmpdir(), 'volant-outside-'));
    t.after(() => rmSync(outside, { recursive: true }));
    writeFileSync(join(outside, 'secret'), 'secret');
    const { root } = await unpacked(
      t,
      layersOf(
        [
          directory('usr/'),
          directory('usr/bin/'),
          { path: 'bin', type: '2', target: 'usr/bin' },
          { path: 'absolute', type: '2', target: outside },
          { path: 'upwards', type: '2', target: '../../../../../../../../..' },
          { path: 'again', type: '2', target: 'absolute' },
        ],
        [
          { path: 'bin/sh', content: 'sh' },
          { path: 'absolute/secret', content: 'changed' },
          { path: 'upwards/root-file', content: 'here' },
          { path: '/rooted', content: 'rooted' },
          { path: 'again/more', content: 'more' },
        ],
      ),
    );
    assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
    assert.ok(lstatSync(join(root, 'bin')).isSymbolicLink());
    assert.equal(readFileSync(join(root, 'usr/bin/sh'), 'utf8'), 'sh');
    assert.equal(readFileSync(join(root, 'root-file'), 'utf8'), 'here');
    assert.equal(readFileSync(join(root, 'rooted'), 'utf8'), 'rooted');
    assert.equal(readFileSync(join(root, outside, 'secret'), 'utf8'), 'changed');
    assert.equal(readFileSync(join(root, outside, 'more'), 'utf8'), 'more');
  });

  test('are refused by name where an entry would escape or means nothing', async (t) => {
    if (!requireCapability(t, 'root', 'mke2fs')) return;
    assert.match(
      await refusal(t, [{ path: '../etc/passwd', content: 'x' }]),
      /"\.\.\/etc\/passwd".*leads out/,
    );
    assert.match(await refusal(t, [{ path: 'a/../../b', content: 'x' }]), /leads out/);
    assert.match(
      await refusal(t, [{ path: 'a', type: '1', target: '../../etc/passwd' }]),
      /leads out/,
    );
    assert.match(
      await refusal(t, [{ path: 'a', type: '1', target: '/etc/shadow' }]),
      /is not there/,
    );
    assert.match(
      await refusal(t, [directory('d'), { path: 'a', type: '1', target: 'd' }]),
      /hard link to a directory/,
    );
    assert.match(
      await refusal(t, [
        { path: 'f', content: 'x' },
        { path: 'f/g', content: 'y' },
      ]),
      /no directory/,
    );
    assert.match(await refusal(t, [{ path: '.wh...', content: '' }]), /whiteout of no file/);
    assert.match(
      await refusal(t, [
        { path: 'a', type: '2', target: 'b' },
        { path: 'b', type: '2', target: 'a' },
        { path: 'a/x', content: 'x' },
      ]),
      /circle/,
    );
    assert.match(
      await refusal(t, [{ path: 'n', type: '3', device: [9999, 1] }]),
      /numbers that Linux does not have/,
    );
    assert.match(await refusal(t, [{ path: 'x'.repeat(256), content: '' }]), /more than 255 bytes/);
    assert.match(await refusal(t, [{ path: 'v', type: 'V' }]), /unknown type "V"/);
    assert.match(await refusal(t, [{ path: 'a', size: 4096, content: 'short' }]), /truncated/);
    assert.match(await refusal(t, [Buffer.alloc(512, 'x')]), /not a tar archive/);
  });

  test('have long names, sparse files, duplicate entries and gzip or zstd around them', async (t) => {
    if (!requireCapability(t, 'root', 'mke2fs')) return;
    const long = `${'d'.repeat(200)}/${'f'.repeat(255)}`;
    const map = Buffer.alloc(512);
    map.write('2\n0\n5\n1048576\n4\n');
    const sparse = Buffer.concat([map, Buffer.from('start'), Buffer.from('tail')]);
    const layer = tar(
      { path: long, content: 'long' },
      { path: 'twice', content: 'first' },
      { path: 'twice', content: 'second' },
      {
        path: 'GNUSparseFile.0/hole',
        content: sparse,
        pax: {
          'GNU.sparse.major': '1',
          'GNU.sparse.minor': '0',
          'GNU.sparse.name': 'hole',
          'GNU.sparse.realsize': '1048580',
        },
      },
    );
    const other = tar({ path: 'in-zstd', content: 'z'.repeat(10_000) });
    const zstd = spawnSync('zstd', ['-qc'], { input: other });
    assert.equal(zstd.status, 0);
    const { root } = await unpacked(t, [
      { tar: layer, packed: gzipSync(layer) },
      { tar: other, packed: zstd.stdout },
    ]);
    assert.equal(readFileSync(join(root, long), 'utf8'), 'long');
    assert.equal(readFileSync(join(root, 'twice'), 'utf8'), 'second');
    assert.equal(readFileSync(join(root, 'in-zstd'), 'utf8').length, 10_000);
    const hole = readFileSync(join(root, 'hole'));
    assert.equal(hole.length, 1_048_580);
    assert.equal(hole.toString('latin1', 0, 6), 'start\0');
    assert.equal(hole.toString('latin1', 1_048_575), '\0tail');
    assert.ok(statSync(join(root, 'hole')).blocks * 512 < 100_000);
  });

  test('are bounded: a bomb is refused before it is written, a damaged blob is found', async (t) => {
    if (!requireCapability(t, 'root', 'mke2fs')) return;
    const bomb = tar({ path: 'zeros', content: Buffer.alloc(8 * 2 ** 20) });
    const packed = { tar: bomb, packed: gzipSync(bomb) };
    await assert.rejects(
      unpacked(t, [packed], { bytesMax: 2 ** 20 }),
      /more than 1 MiB when it is unpacked/,
    );
    const holes = tarEntry({
      path: 'hole',
      content: '',
      pax: { 'GNU.sparse.size': String(2 ** 50), 'GNU.sparse.map': '' },
    });
    await assert.rejects(unpacked(t, [{ tar: tar(holes) }]), /when it is unpacked/);
    const sound = tar({ path: 'a', content: 'a' });
    const cut = gzipSync(sound).subarray(0, -12);
    await assert.rejects(unpacked(t, [{ tar: sound, packed: cut }]), TarInvalid);
  });

  test('get the directories that the config names, and no more than them', async (t) => {
    if (!requireCapability(t, 'root', 'mke2fs')) return;
    const image = { ...NO_SETTINGS, workdir: '/srv/app', volumes: ['/data'] as never[] };
    const { root } = await unpacked(t, [{ tar: tar() }], { image });
    assert.deepEqual(Object.keys(listing(root)), ['/', '/data', '/etc', '/srv', '/srv/app']);
  });
});
