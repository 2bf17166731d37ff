// scripts: what `npm test` reads of the output of Node's test runner.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadScript } from './load.ts';

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly failures?: readonly string[];
}

const { newCounter, sum } = await loadScript<{
  newCounter(): { take(line: string): void; result(status: number): Required<Counts> };
  sum(results: readonly Counts[]): Required<Counts>;
}>('lib/tests/test-output.mjs');

const OUTPUT = [
  '✔ one (1.2ms)',
  '\x1b[31m✖ two (3.4ms)\x1b[39m',
  ...['pass 1', 'fail 1', 'cancelled 1', 'skipped 2'].map((count) => `\x1b[34mℹ ${count}\x1b[39m`),
  '',
  '\x1b[31m✖ failing tests:\x1b[39m',
  '',
  'test at two.test.js:5:1',
  '✖ two (3.4ms)',
  '  Error: it is broken',
];

function resultOf(lines: readonly string[], status: number) {
  const counter = newCounter();
  for (const line of lines) counter.take(line);
  return counter.result(status);
}

test('counts and failures of several runs are added up', () => {
  const one = resultOf(OUTPUT, 1);
  const failures = ['', 'test at two.test.js:5:1', '✖ two (3.4ms)', '  Error: it is broken'];
  assert.deepEqual(one, { passed: 1, failed: 2, skipped: 2, failures });
  const counted = { passed: 5, failed: 1, skipped: 0 };
  assert.deepEqual(sum([one, counted]), { passed: 6, failed: 3, skipped: 2, failures });
});

test('a runner that ends without a failure, but not well, is one', () => {
  const { passed, failed, failures } = resultOf(['ℹ pass 3', 'ℹ fail 0'], 1);
  assert.deepEqual({ passed, failed, failures }, { passed: 3, failed: 1, failures: [] });
});

test('an error that quotes a long log is cut', () => {
  const { failures } = resultOf([...OUTPUT, ...Array.from({ length: 1_000 }, String)], 1);
  assert.equal(failures.length, 300);
});
