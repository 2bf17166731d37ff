// What cloud-init's seed must be to other programs: a FAT file system that mtools, which shares no code
// with us, reads as it was written, and that the checker of dosfstools has no complaint about.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { fatImage } from '../../../../../src/host/jobs/media/formats/fat-image.ts';
import { requireCapability } from '../../../../helpers/capabilities.ts';

const directory = mkdtempSync(join(tmpdir(), 'volant-fat-'));
after(() => rmSync(directory, { recursive: true }));

const MEBIBYTE = 2 ** 20;

function imageOf(files: Readonly<Record<string, Uint8Array>>): string {
  const contents = new Map(Object.entries(files));
  const path = join(directory, `${randomBytes(4).toString('hex')}.img`);
  writeFileSync(path, fatImage(contents, { label: 'CIDATA' }));
  return path;
}

const read = (image: string, name: string) =>
  execFileSync('mcopy', ['-n', '-i', image, `::${name}`, '-'], { maxBuffer: 200 * MEBIBYTE });

suite('a FAT image', () => {
  const cases: Readonly<Record<string, Readonly<Record<string, Uint8Array>>>> = {
    'of a seed': {
      'user-data': Buffer.from('#cloud-config\n'),
      'meta-data': Buffer.from('instance-id: volant-1\n'),
      'network-config': Buffer.from('version: 2\n'),
    },
    'with an empty file': { 'user-data': Buffer.alloc(0), 'meta-data': Buffer.from('x') },
    'with files of exactly one and two clusters': {
      one: randomBytes(2048),
      two: randomBytes(4096),
      'one.more': randomBytes(2049),
    },
    'near the border of FAT12 and FAT16': {
      large: randomBytes(8 * MEBIBYTE),
      small: randomBytes(9),
    },
    'with a long name': { [`a${'b'.repeat(100)}.cfg`]: Buffer.from('long') },
  };
  for (const [name, files] of Object.entries(cases)) {
    test(`${name} is read back byte for byte`, (t) => {
      if (!requireCapability(t, 'mtools')) return;
      const image = imageOf(files);
      for (const [file, content] of Object.entries(files)) {
        assert.deepEqual(read(image, file), Buffer.from(content), file);
      }
      const names = execFileSync('mdir', ['-b', '-i', image, '::'], { encoding: 'utf8' });
      assert.deepEqual(
        names.trim().split('\n').sort(),
        Object.keys(files)
          .map((file) => `::/${file}`)
          .sort(),
      );
      const label = execFileSync('mlabel', ['-s', '-i', image, '::'], { encoding: 'utf8' });
      assert.match(label, /Volume label is CIDATA/);
      const check = spawnSync('fsck.vfat', ['-n', '-v', image], { encoding: 'utf8' });
      assert.equal(check.status, 0, check.stdout);
    });
  }

  test('of the same files is the same, of others another', () => {
    const image = (text: string) => fatImage(new Map([['a', Buffer.from(text)]]), { label: 'X' });
    assert.deepEqual(image('one'), image('one'));
    assert.notDeepEqual(image('one'), image('two'));
    assert.equal(image('one').length, MEBIBYTE);
  });
});
