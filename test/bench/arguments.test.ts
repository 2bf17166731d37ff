// bench: what a call asks for.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseArguments, UsageError } from '../../bench/lib/arguments.ts';

const parse = (line: string) => parseArguments(line.split(' ').filter(Boolean), ['read', 'create']);

test('suites, fleets, comparison and documentation', () => {
  const measure = { command: 'measure', suites: [], quick: false, evenIfBusy: false };
  assert.deepEqual(parse(''), { ...measure, json: false, out: null });
  assert.deepEqual(parse('--quick read --json --out a.json'), {
    ...measure,
    suites: ['read'],
    quick: true,
    json: true,
    out: 'a.json',
  });
  assert.deepEqual(parse('fleet --vms 5000 --real'), {
    command: 'fleet',
    vms: 5_000,
    real: true,
    json: false,
    out: null,
  });
  assert.deepEqual(parse('compare a.json b.json --json'), {
    command: 'compare',
    before: 'a.json',
    after: 'b.json',
    json: true,
  });
  assert.deepEqual(parse('docs a.json'), { command: 'docs', file: 'a.json' });
  assert.deepEqual(parse('all --out a.json'), { command: 'all', json: false, out: 'a.json' });
});

test('what cannot be meant is refused', () => {
  const wrong = [
    'reed',
    '--quik',
    'compare a.json',
    'compare a b c',
    'compare a b --quick',
    'docs',
    'docs a --even-if-busy',
    'fleet',
    'fleet --vms',
    'fleet --vms many',
    'fleet --vms 0',
    'all read',
  ];
  for (const line of wrong) assert.throws(() => parse(line), UsageError, line);
});
