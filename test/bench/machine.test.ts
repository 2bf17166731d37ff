// bench: what is read of /proc.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  cpuSecondsOf,
  exactCpuSecondsOf,
  loadBetween,
  memoryOf,
  parseProcessStat,
  parseRollup,
  parseStat,
  sampleMachine,
} from '../../bench/lib/machine.ts';

const STAT = `cpu  3213282 105983 913221 902418 5736 0 11370 7450 0 0
cpu0 1602076 54062 452175 462471 1355 0 3503 3738 0 0
cpu1 1611206 51920 461045 439947 4381 0 7867 3712 0 0
intr 1 2 3
`;

test('processors, user time and stolen time of a machine', () => {
  assert.deepEqual(parseStat(STAT), {
    processors: 2,
    userTicks: 3_213_282 + 105_983,
    stealTicks: 7_450,
  });
});

test('times of a process, whatever its name is', () => {
  const fields = Array.from({ length: 40 }, (_, index) => index + 3);
  const text = `17 (a) b (c) S ${fields.slice(1).join(' ')}`;
  // Fields 14 to 16 of proc(5).
  assert.deepEqual(parseProcessStat(text), { userTicks: 14, systemTicks: 15, endedUserTicks: 16 });
});

test('load is what is not our own, as a share of all processors', () => {
  const before = { processors: 4, userTicks: 0, stealTicks: 0, ownUserTicks: 0, atMs: 0 };
  const after = { ...before, userTicks: 500, ownUserTicks: 300, stealTicks: 40, atMs: 2_000 };
  assert.deepEqual(loadBetween(before, after), { others: 0.25, steal: 0.05 });
  // Counted at different moments, ours may seem to be more than all.
  assert.equal(loadBetween(before, { ...after, ownUserTicks: 510 }).others, 0);
  assert.deepEqual(loadBetween(before, before), { others: 0, steal: 0 });
});

test('memory of a process is without pages of files', () => {
  const lines = ['Pss:  900 kB', 'Pss_Anon:  500 kB', 'Pss_File:  300 kB', 'Pss_Shmem:  100 kB'];
  assert.equal(parseRollup(lines.join('\n')), 600 * 1024);
});

test('this process has time, memory and a machine', () => {
  assert.ok(cpuSecondsOf(process.pid) > 0);
  assert.ok(exactCpuSecondsOf(process.pid) > 0);
  assert.ok(memoryOf(process.pid) > 2 ** 20);
  const { processors, ownUserTicks } = sampleMachine();
  assert.ok(processors > 0 && ownUserTicks > 0);
  assert.equal(cpuSecondsOf(2 ** 30), 0);
});
