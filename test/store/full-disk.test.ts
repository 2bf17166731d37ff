// What happens on a full disk: a real one, a small tmpfs in a mount namespace of the child's own.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requireCapability } from '../helpers/capabilities.ts';
import type { FullDiskReport } from './full-disk-writer.ts';

suite('store on a full disk', () => {
  test('refuses commits without losing one or a number, and continues when there is space', (t) => {
    if (!requireCapability(t, 'root')) return;
    const directory = mkdtempSync(join(tmpdir(), 'volant-full-disk-'));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const writer = fileURLToPath(new URL('./full-disk-writer.js', import.meta.url));
    const script = 'mount -t tmpfs -o size=4m none "$1" && exec "$2" "$3" "$1"';
    const child = spawnSync(
      'unshare',
      ['--mount', 'sh', '-ec', script, 'sh', directory, process.execPath, writer],
      { encoding: 'utf8', timeout: 60_000 },
    );
    assert.equal(child.status, 0, child.stderr);
    const report = JSON.parse(child.stdout) as FullDiskReport;
    assert.ok(report.acknowledged > 0, 'the disk was full from the start');
    assert.deepEqual(report.codes, ['STORE_UNAVAILABLE', 'STORE_UNAVAILABLE']);
    assert.match(report.cause, /Input\/output error|No space left/);
    assert.match(report.probeWhileFull ?? '', /^(STORE_UNAVAILABLE|DISK_SPACE_LOW)$/);
    assert.equal(report.nextSequence, report.acknowledged + 1);
    assert.equal(report.probeAfter, null);
    assert.deepEqual(report.strayRejections, []);
    const all = Array.from({ length: report.acknowledged + 1 }, (_, index) => index + 1);
    assert.deepEqual(report.sequencesAfterReopen, all);
    assert.equal(report.nameAfterReopen, 'after');
  });
});
