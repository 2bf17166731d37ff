// What the written reports say, and that no text of a guest or daemon can break their format.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operationsCsv, samplesCsv } from '../../../src/load/report/csv-report.ts';
import { niceTop } from '../../../src/load/report/html-plots.ts';
import { htmlReport } from '../../../src/load/report/html-report.ts';
import { junitReport } from '../../../src/load/report/junit-report.ts';
import { textReport } from '../../../src/load/report/text-report.ts';
import { durationText } from '../../../src/load/report/words.ts';
import { HOSTILE, report } from './sample-report.ts';

test('the text has every operation, what failed and why, and the verdict at its end', () => {
  const text = textReport(report());
  assert.match(text, /^ {2}create +104 +10\/s/m);
  assert.match(text, /create: errors 3 \(.*TIMEOUT 1\)/);
  assert.match(text, /create\.p99 < 50ms: did not hold, measured 80 ms/);
  assert.match(text, /1 could not be removed; try `volant-load clean --label abc`/);
  assert.match(text, /: failed\n/);
});

test('the page needs nothing else and takes no text for markup', () => {
  const page = htmlReport(report());
  assert.doesNotMatch(page, /<script|javascript:|\bsrc=|\bhref=|@import|url\(/i);
  assert.ok(!page.includes(HOSTILE));
  assert.match(page, /&lt;script&gt;alert/);
  // Three plots of the harness and one of each figure that was found.
  assert.equal(page.match(/<svg /g)?.length, 5);
  assert.match(page, /loop_ms: it is not there/);
  assert.doesNotMatch(page, /NaN|undefined|Infinity/);
});

test('a counter is shown as growth, and a second without figures is a gap', () => {
  const page = htmlReport(report());
  const [, plot = ''] = page.split('Creates (creates_total, growth per second)');
  // The daemon was silent before the last sample, so there is no growth to show.
  assert.doesNotMatch(plot.slice(0, plot.indexOf('</svg>')), /polyline/);
});

test('CI servers see thresholds as test cases, and a run that says nothing as an error', () => {
  const failed = junitReport(report());
  assert.match(failed, /tests="3" failures="1" errors="0"/);
  assert.match(failed, /name="create\.p99 &lt; 50ms"><failure message="create/);
  assert.ok(!failed.includes('<script') && !failed.includes('\u0001'));
  const invalid = junitReport(report({ verdict: 'invalid', thresholds: [] }));
  assert.match(invalid, /tests="1" failures="0" errors="1"/);
  assert.match(invalid, /name="run"><error message=/);
});

test('a spreadsheet gets one row for each operation and sample, and no formula', () => {
  const phases = report().phases.map((phase) => ({ ...phase, name: '=1+1,"x"' }));
  const rows = operationsCsv(report({ phases })).split('\r\n');
  assert.equal(rows[0]?.split(',').length, 16);
  assert.match(rows[1] ?? '', /^"'=1\+1,""x""",create,step,104,100,3,1,2,10,/);
  assert.match(rows[4] ?? '', /^,create,step,104/);
  assert.equal(rows.length, 1 + 3 + 3 + 1);
  const samples = samplesCsv(report()).trimEnd().split('\r\n');
  assert.match(samples[0] ?? '', /,vms_count,creates_total$/);
  assert.match(samples[1] ?? '', /,3,5$/);
  assert.match(samples[2] ?? '', /,,$/);
});

test('figures are written with three digits that count', () => {
  assert.deepEqual(
    [null, 0.1234, 1.234, 12.34, 123.4, 999.4, 999.6, 1234, 99_960, 3_600_000].map(durationText),
    [
      '-',
      '0.123 ms',
      '1.23 ms',
      '12.3 ms',
      '123 ms',
      '999 ms',
      '1.000 s',
      '1.23 s',
      '1 min 40 s',
      '60 min',
    ],
  );
  assert.deepEqual([0, 0.7, 1, 3, 21, 24, 99, 1000].map(niceTop), [1, 1, 1, 5, 25, 25, 100, 1000]);
});
