// What the comparison of two runs calls better, worse and the same.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareReports } from '../../../src/load/report/compare.ts';
import { compareText } from '../../../src/load/report/compare-text.ts';
import type { OperationReport } from '../../../src/load/report/run-report.ts';
import { latency, operation, report } from './sample-report.ts';

const of = (name: string, more: Partial<OperationReport>) =>
  report({ operations: [operation(name, more)] });

function verdicts(before: Partial<OperationReport>, after: Partial<OperationReport>) {
  const { changes } = compareReports(of('create', before), of('create', after), 0.1);
  return Object.fromEntries(changes.map(({ measure, verdict }) => [measure, verdict]));
}

test('a change within the tolerance is none, and its direction counts beyond', () => {
  const slower = verdicts({ latency: latency(20) }, { latency: latency(23) });
  assert.equal(slower['p50'], 'worse');
  assert.equal(verdicts({ latency: latency(20) }, { latency: latency(21) })['p50'], 'same');
  assert.equal(verdicts({ latency: latency(20) }, { latency: latency(10) })['p99'], 'better');
  assert.equal(verdicts({ ratePerSecond: 10 }, { ratePerSecond: 20 })['rate'], 'better');
  assert.equal(verdicts({ ratePerSecond: 20 }, { ratePerSecond: 10 })['rate'], 'worse');
});

test('errors count by their share of all operations', () => {
  const errors = (total: number) => ({ count: 1000, errors: { total, byCode: {} } });
  assert.equal(verdicts(errors(0), errors(10))['errors'], 'same');
  assert.equal(verdicts(errors(0), errors(11))['errors'], 'worse');
  assert.equal(verdicts(errors(11), errors(0))['errors'], 'better');
});

test('two runs that cannot be compared well are reported, and what only one of them has', () => {
  const before = of('create', {});
  const other = of('delete', {});
  const run = { ...other.run, seed: 8 };
  const comparison = compareReports(before, { ...other, run, verdict: 'invalid' }, 0.1);
  assert.deepEqual(comparison.onlyBefore, ['create']);
  assert.deepEqual(comparison.onlyAfter, ['delete']);
  assert.equal(comparison.doubts.length, 2);
  assert.match(compareText(comparison), /The second run is invalid/);
  assert.match(compareText(comparison), /create is in the first run only/);
});
