// bench: results: rows, comparison of two files, plots, and the page of the documentation.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { compareResults, formatComparisons } from '../../bench/lib/compare.ts';
import { fleetLines, limitText } from '../../bench/lib/fleet-report.ts';
import { withResults, writePage } from '../../bench/lib/page.ts';
import { plotAims, plotRounds } from '../../bench/lib/plots.ts';
import { type Results, readResults, writeResults } from '../../bench/lib/results.ts';
import { formatRows, type Row, ratioOf, ratiosOf, row, verdictOn } from '../../bench/lib/row.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const LEAST = { atLeast: 0.9 };
const MOST = { atMost: 2 };

function results(rows: readonly Row[], more: Partial<Results> = {}): Results {
  return {
    revision: 'abc1234',
    date: '2026-01-02T03:04:05.000Z',
    mode: 'full',
    evenIfBusy: false,
    node: 'v20.11.0',
    kernel: '6.1.0',
    processor: 'A processor <of sorts>',
    processors: 2,
    rows,
    fleets: [],
    ...more,
  };
}

/** Seven rounds around a value, never twice the same. */
const around = (value: number, seed = 0) =>
  [0.97, 1.02, 0.99, 1.01, 1.03, 0.98, 1].map((factor, at) => value * (factor + seed + at * 1e-5));

const ones = [1, 1, 1, 1, 1, 1, 1];
const rate = (ours: readonly number[], what = 'GET') => row(what, '/s', ours, ones, 'bare', LEAST);
const wait = (ours: readonly number[]) => row('wait', 'ms', ours, ones, 'idle', MOST);

test('a ratio is of the same round, or of all where the bound is one figure', () => {
  assert.deepEqual(ratiosOf(row('a', '', [2, 9], [4, 10], '', LEAST)), [0.5, 0.9]);
  assert.deepEqual(ratiosOf(row('a', '', [2, 4], 4, '', LEAST)), [0.5, 1]);
  assert.equal(ratioOf(row('a', '', [1, 2, 30], [10, 10, 10], '', LEAST)), 0.2);
  assert.equal(row('a', '', 1, 2, '', LEAST).refusal, null);
});

test('an aim is reached, missed, or too far away to show a loss', () => {
  const verdict = (ratio: number, aim: Row['aim']) => verdictOn(row('a', '', ratio, 1, '', aim));
  assert.deepEqual(
    [0.89, 0.95, 1.3].map((ratio) => verdict(ratio, LEAST)),
    ['short', 'ok', 'loose'],
  );
  assert.deepEqual(
    [2.1, 1.8, 1].map((ratio) => verdict(ratio, MOST)),
    ['short', 'ok', 'loose'],
  );
});

test('a row without a ratio is refused', () => {
  for (const [ours, bound] of [
    [[], []],
    [
      [1, 0],
      [2, 0],
    ],
    [[Number.NaN], [1]],
  ] as const) {
    assert.match(row('a', '', ours, bound, '', LEAST).refusal ?? '', /no figure/);
  }
});

test('a refused row is not printed: its reason is', () => {
  const text = formatRows([
    rate(around(12_345)),
    { ...rate(around(66_666), 'list'), refusal: 'the machine was busy' },
  ]);
  assert.match(text, /GET +12345|GET +12346/);
  assert.match(text, /^refused: list: the machine was busy$/m);
  assert.doesNotMatch(text, /666/);
});

test('compare: better, worse and noise, by the direction of the aim', () => {
  const verdicts = (before: Row, after: Row) =>
    compareResults(results([before]), results([after])).map(({ verdict }) => verdict);
  assert.deepEqual(verdicts(rate(around(1)), rate(around(1.1))), ['better']);
  assert.deepEqual(verdicts(rate(around(1)), rate(around(0.9))), ['worse']);
  assert.deepEqual(verdicts(rate(around(1)), rate(around(1, 0.001))), ['noise']);
  assert.deepEqual(verdicts(wait(around(1)), wait(around(1.1))), ['worse']);
  assert.deepEqual(verdicts(wait(around(1)), wait(around(0.9))), ['better']);
});

test('compare: a loss of ten percent shows, a swing of single rounds does not', () => {
  const swinging = [1, 1.9, 0.6, 1.1, 1.4, 0.7, 1.2];
  const lower = swinging.map((value) => value * 0.9 + 0.001);
  const [comparison] = compareResults(results([rate(swinging)]), results([rate(lower)]));
  assert.equal(comparison?.verdict, 'noise');
  const [loss] = compareResults(results([rate(around(1))]), results([rate(around(0.9))]));
  assert.equal(loss?.verdict, 'worse');
  assert.ok(Math.abs((loss?.change ?? 0) + 0.1) < 0.001);
});

test('compare: says nothing of rows with few rounds, refused ones and such that one file lacks', () => {
  const refused = { ...rate(around(1), 'refused'), refusal: 'busy' };
  const few = row('few', '/s', [1, 2, 3], [1, 1, 1], 'bare', LEAST);
  const before = results([refused, few, rate(around(1), 'old')]);
  const after = results([refused, few, rate(around(1), 'new')]);
  const comparisons = compareResults(before, after);
  assert.deepEqual(
    comparisons.map(({ what, verdict }) => [what, verdict]),
    [
      ['refused', 'refused'],
      ['few', 'too few rounds'],
      ['old', 'missing'],
      ['new', 'missing'],
    ],
  );
  assert.match(
    formatComparisons(comparisons),
    /^few +2\.00 +2\.00 +\+0\.0 % +1\.0 +too few rounds$/m,
  );
});

test('plots: the same file gives the same text, well formed, without rows that were refused', () => {
  const rows = [
    rate(around(0.95), 'GET <one> & all'),
    wait(around(3)),
    { ...rate(around(1), 'secret'), refusal: 'busy' },
  ];
  for (const plot of [plotAims, plotRounds]) {
    const text = plot(rows);
    assert.equal(plot(rows), text);
    assert.match(text, /^<svg [^>]*>\n<title>[^<]*<\/title>\n/);
    assert.match(text, /\n<\/svg>\n$/);
    assert.match(text, /GET &lt;one&gt; &amp; all/);
    assert.doesNotMatch(text, /secret|NaN|Infinity|undefined/);
    assert.equal([...text.matchAll(/<circle /g)].length >= 14, true);
  }
  // One that misses its aim has another colour than one that reaches it.
  assert.match(plotAims([wait(around(3))]), /#cf222e/);
  assert.doesNotMatch(plotAims([wait(around(1))]), /#cf222e/);
});

test('plots: rows without anything to see', () => {
  for (const rows of [[], [row('zero', '', [0, 0], [1, 1], '', LEAST)], [wait([0, 0])]]) {
    for (const plot of [plotAims, plotRounds]) assert.doesNotMatch(plot(rows), /NaN|Infinity/);
  }
});

test('the page gets figures between its marks, and keeps the rest', () => {
  const page = readFileSync(join(PROJECT_ROOT, 'docs/benchmarks.md'), 'utf8');
  const fleet = {
    title: '1000 simulated VMs',
    figures: [{ what: 'created', value: 312.4, unit: 'VMs/s' }],
    limit: 'memory',
  };
  const refused = { ...rate(around(1), 'list'), refusal: 'the machine was busy' };
  const once = withResults(page, results([rate(around(0.95)), refused], { fleets: [fleet] }));
  assert.match(once, /\| GET \| 0\.950 \| 1\.00 \| \/s \| 0\.95 \| .* \| >= 0\.9 \| ok \|/);
  assert.match(once, /- list: the machine was busy/);
  assert.match(once, /\| created \| 312 VMs\/s \|\n\| limit \| memory \|/);
  const again = withResults(once, results([rate(around(0.5))]));
  assert.doesNotMatch(again, /0\.950|simulated VMs\*\*/);
  assert.equal(again.slice(0, 500), page.slice(0, 500));
  assert.throws(() => withResults('# No marks', results([])), /lacks the marks/);
});

test('files: what was written is read, and what is none is refused with its name', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'volant-results-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'deep/results.json');
  writeResults(file, results([rate(around(1))]));
  assert.deepEqual(readResults(file), results([rate(around(1))]));
  const other = join(directory, 'other.json');
  writeFileSync(other, '{"rows": [{"what": "a", "ours": 3}]}');
  assert.throws(() => readResults(other), /other\.json is no results file/);
  assert.throws(() => readResults(join(directory, 'none.json')), /none\.json cannot be read/);
  mkdirSync(join(directory, 'docs'));
  const busy = results([], { evenIfBusy: true });
  assert.throws(() => writePage(directory, busy), /busy machine/);
});

test('a fleet names what ends first', () => {
  const text = limitText([
    { what: 'memory', vms: 7_000.4 },
    { what: 'process ids', vms: 32_768 },
    { what: 'unknown', vms: Number.NaN },
  ]);
  assert.equal(
    text,
    'memory: enough for about 7000 VMs; then process ids: enough for about 32768 VMs',
  );
  const report = { title: '', figures: [{ what: 'left', value: 0, unit: '' }], limit: text };
  assert.deepEqual(fleetLines(report), [
    ['left', '0'],
    ['limit', text],
  ]);
});
