// lib, metrics: the text of metrics in both formats, and which one a reader gets.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exposition, formatFor } from '../../../src/lib/metrics/exposition.ts';
import { counter, type Family, gauge, info } from '../../../src/lib/metrics/family.ts';
import { Counter, Histogram, Summary } from '../../../src/lib/metrics/instruments.ts';

const textOf = (families: readonly Family[], format: 'prometheus' | 'openmetrics') =>
  [...exposition(families, format, 1_000_000)].join('');

test('a counter and an info have their suffix in the name, in OpenMetrics in their samples only', () => {
  const jobs = new Counter({ name: 'jobs', help: 'Jobs', labels: ['name'] });
  jobs.of('launch').value += 2;
  const families = [jobs, info({ name: 'build', help: 'Version', labels: ['version'] }, ['1.0'])];
  assert.equal(
    textOf(families, 'prometheus'),
    '# HELP jobs_total Jobs\n# TYPE jobs_total counter\njobs_total{name="launch"} 2\n' +
      '# HELP build_info Version\n# TYPE build_info gauge\nbuild_info{version="1.0"} 1\n',
  );
  assert.equal(
    textOf(families, 'openmetrics'),
    '# HELP jobs Jobs\n# TYPE jobs counter\njobs_total{name="launch"} 2\n' +
      '# HELP build Version\n# TYPE build info\nbuild_info{version="1.0"} 1\n# EOF\n',
  );
});

test('the buckets of a histogram are cumulative, and a bound belongs to its bucket', () => {
  const seconds = new Histogram({ name: 's', help: 'Seconds', labels: ['step'] }, [0.5, 1]);
  for (const value of [0.1, 0.5, 0.75, 30]) seconds.of('launch').observe(value);
  const lines = textOf([seconds], 'prometheus').split('\n').slice(2, -1);
  assert.deepEqual(lines, [
    's_bucket{step="launch",le="0.5"} 2',
    's_bucket{step="launch",le="1.0"} 3',
    's_bucket{step="launch",le="+Inf"} 4',
    's_sum{step="launch"} 31.35',
    's_count{step="launch"} 4',
  ]);
});

test('what has no labels has a sample from the beginning', () => {
  const families = [
    new Counter({ name: 'c', help: 'C' }),
    new Summary({ name: 'u', help: 'U' }),
    new Histogram({ name: 'h', help: 'H' }, [1]),
    gauge({ name: 'g', help: 'G' }, null),
    counter({ name: 'd', help: 'D' }, 7),
  ];
  const samples = textOf(families, 'prometheus')
    .split('\n')
    .filter((line) => !line.startsWith('#'));
  assert.deepEqual(samples, [
    'c_total 0',
    'u_sum 0',
    'u_count 0',
    'h_bucket{le="1.0"} 0',
    'h_bucket{le="+Inf"} 0',
    'h_sum 0',
    'h_count 0',
    'd_total 7',
    '',
  ]);
});

test('values of labels are escaped, and special numbers are written as the formats want them', () => {
  const values = [
    [['a"b\\c\nd'], Number.POSITIVE_INFINITY],
    [['-'], Number.NEGATIVE_INFINITY],
    [['?'], Number.NaN],
  ] as const;
  const text = textOf([gauge({ name: 'g', help: 'G', labels: ['l'] }, values)], 'prometheus');
  assert.deepEqual(text.split('\n').slice(2, 5), [
    'g{l="a\\"b\\\\c\\nd"} +Inf',
    'g{l="-"} -Inf',
    'g{l="?"} NaN',
  ]);
});

test('a long text is made in pieces, and samples are made when their piece is', () => {
  let made = 0;
  const many: Family = {
    name: 'm',
    type: 'gauge',
    help: 'M',
    labels: ['n'],
    *samples() {
      for (made = 0; made < 1000; made += 1) yield ['', `{n="${made}"}`, made];
    },
  };
  const pieces = exposition([many], 'openmetrics', 100);
  const first = pieces.next();
  assert.ok(made < 20, String(made));
  const text = [first.value, ...pieces].join('');
  assert.equal(text, textOf([many], 'openmetrics'));
});

test('OpenMetrics is for those who prefer it', () => {
  const prometheus =
    'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1';
  assert.equal(formatFor(prometheus), 'openmetrics');
  for (const accept of [
    '',
    '*/*',
    'text/html, */*;q=0.8',
    'text/plain, application/openmetrics-text;q=0.5',
    'application/openmetrics-text;q=0',
    'application/openmetrics-text; version=2.0.0, text/plain;q=0.1',
    'application/json',
    ';;;,q=,',
  ]) {
    assert.equal(formatFor(accept), 'prometheus', accept);
  }
});
