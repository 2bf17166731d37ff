// What operators rely on: the cache keeps its budget, and never removes what a VM is made of or a launch
// is about to use; a disk that is full is reported as such.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LIMITS } from '../../../../src/config/limits.ts';
import { faultOf, JobFault } from '../../../../src/host/jobs/fault.ts';
import { trimCache } from '../../../../src/host/jobs/media/cache.ts';
import { DiskReservation } from '../../../../src/host/jobs/media/disk-space.ts';
import type { HostSettings } from '../../../../src/host/jobs/protocol.ts';
import { requireCapability } from '../../../helpers/capabilities.ts';
import type { FullCacheReport } from './full-cache.ts';

const OLD_MS = LIMITS.mediaKeepMs + 60_000;
const digest = (letter: string) => letter.repeat(64);

function cacheIn(t: TestContext, cacheBytesMax = 0) {
  const home = mkdtempSync(join(tmpdir(), 'volant-trim-'));
  t.after(() => rmSync(home, { recursive: true }));
  const [cacheDirectory, diskDirectory] = [join(home, 'cache'), join(home, 'disks')];
  for (const name of ['sha256', 'partial', 'urls']) {
    mkdirSync(join(cacheDirectory, name), { recursive: true });
  }
  const add = (name: string, ageMs = OLD_MS) => {
    const path = join(cacheDirectory, name);
    writeFileSync(path, 'x'.repeat(100));
    const at = (Date.now() - ageMs) / 1000;
    utimesSync(path, at, at);
  };
  const note = (vmId: number, text: string) => {
    mkdirSync(join(diskDirectory, String(vmId)), { recursive: true });
    writeFileSync(join(diskDirectory, String(vmId), 'data.base.json'), text);
  };
  const settings = { cacheDirectory, diskDirectory, cacheBytesMax } as HostSettings;
  const trim = (pinned: string[] = [], freeBytes = 0) => trimCache({ settings, pinned, freeBytes });
  const left = (name = 'sha256') => readdirSync(join(cacheDirectory, name));
  return { add, note, trim, left };
}

suite('the cache', () => {
  test('loses what was used longest ago, and no more than it must', (t) => {
    const { add, trim, left } = cacheIn(t, 250);
    add(`sha256/${digest('a')}`, OLD_MS);
    add(`sha256/${digest('b')}`, OLD_MS + 1_000);
    add(`sha256/${digest('c')}`, 0);
    assert.equal(trim(), 100);
    assert.deepEqual(left().sort(), [digest('a'), digest('c')]);
    assert.equal(trim([], 50), 100, 'room that a download needs');
    assert.deepEqual(left(), [digest('c')], 'what was used a moment ago stays');
  });

  test('keeps what a VM is made of and what a launch is about to use', (t) => {
    const { add, note, trim, left } = cacheIn(t);
    for (const letter of ['a', 'b', 'c']) add(`sha256/${digest(letter)}`);
    note(1, JSON.stringify({ path: `/cache/sha256/${digest('a')}` }));
    trim([digest('b')]);
    assert.deepEqual(left().sort(), [digest('a'), digest('b')]);
  });

  test('keeps every image when a note cannot be read', (t) => {
    const { add, note, trim, left } = cacheIn(t);
    add(`sha256/${digest('a')}`);
    note(1, '');
    assert.equal(trim(), 0);
    assert.deepEqual(left(), [digest('a')]);
  });

  test('counts what has arrived of downloads, and removes what nobody went on with for a day', (t) => {
    const { add, trim, left } = cacheIn(t, 250);
    add('partial/old', LIMITS.mediaPartialKeepMs + 60_000);
    add('partial/old.json', LIMITS.mediaPartialKeepMs + 60_000);
    add('partial/new', 0);
    add(`sha256/${digest('a')}`);
    trim();
    assert.deepEqual(left('partial'), ['new']);
    assert.deepEqual(left(), [digest('a')]);
    add('partial/other', OLD_MS + 1_000);
    trim();
    assert.deepEqual(left('partial'), ['new'], 'the oldest goes first, whole or not');
  });

  test('forgets addresses of long ago', (t) => {
    const { add, trim, left } = cacheIn(t, 1_000_000);
    for (let index = 0; index < LIMITS.mediaUrlRecordsMax + 5; index += 1) {
      add(`urls/${index}`, index * 1_000);
    }
    trim();
    assert.equal(left('urls').length, LIMITS.mediaUrlRecordsMax);
    assert.ok(left('urls').includes('0'));
  });
});

suite('room on the disk', () => {
  const isLow = (error: unknown) =>
    error instanceof JobFault && error.fault.code === 'DISK_SPACE_LOW';

  test('is promised to one download only', () => {
    const reserve = LIMITS.diskReserveBytes;
    const [one, other] = [
      new DiskReservation(tmpdir(), 'one', reserve),
      new DiskReservation(tmpdir(), 'other', reserve),
    ];
    one.require(0);
    // More than half of any disk: it fits twice nowhere.
    const step = 2 ** 30;
    let bytes = step;
    try {
      for (; ; bytes += step) one.require(bytes);
    } catch {
      one.require(bytes - step);
    }
    assert.throws(() => other.require(2 * step), isLow);
    one.release();
    other.require(Math.min(step, bytes - step));
    other.release();
  });

  test('that ends during any job is reported as such', () => {
    const error = Object.assign(new Error('write'), { code: 'ENOSPC' });
    const outcome = faultOf(error, 'provideDisks');
    assert.equal(outcome.ok ? '' : outcome.fault.code, 'DISK_SPACE_LOW');
  });

  test('is made from images that nobody uses before a download or a disk is refused', (t) => {
    if (!requireCapability(t, 'root')) return;
    const directory = mkdtempSync(join(tmpdir(), 'volant-full-cache-'));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const program = fileURLToPath(new URL('./full-cache.js', import.meta.url));
    const sizeMb = LIMITS.diskReserveBytes / 2 ** 20 + 40;
    const script = `mount -t tmpfs -o size=${sizeMb}m none "$1" && exec "$2" "$3" "$1"`;
    const child = spawnSync(
      'unshare',
      ['--mount', 'sh', '-ec', script, 'sh', directory, process.execPath, program],
      { encoding: 'utf8', timeout: 60_000 },
    );
    assert.equal(child.status, 0, child.stderr);
    const report = JSON.parse(child.stdout) as FullCacheReport;
    assert.deepEqual(report, {
      cachedAfterTrim: 1,
      tooLarge: 'DISK_SPACE_LOW',
      partialBytes: 0,
      overlay: 'DISK_SPACE_LOW',
    });
    assert.ok(!existsSync(join(directory, 'cache')), 'it was a mount of its own');
  });
});
