// load: parts that a short run does not reach: samples of long runs, VMs that flows share, owners of runs, verdicts.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Pool } from '../../src/load/generator/pool.ts';
import { GENERATOR_LIMITS, LOAD_LIMITS } from '../../src/load/load-limits.ts';
import { markOf, withMark } from '../../src/load/owned/labels.ts';
import { stateOf, thisOwner } from '../../src/load/owned/run-owner.ts';
import { SampleStore } from '../../src/load/run/sample-store.ts';
import { generatorProblems, verdictOf } from '../../src/load/run/verdict.ts';

test('samples of a long run have a bound, and count everything', () => {
  const store = new SampleStore();
  const seconds = LOAD_LIMITS.samplesMax * 3;
  for (let second = 0; second < seconds; second += 1) {
    const sample = store.at(second);
    sample.started += 1;
    sample.tally.record({ kind: 'succeeded' }, second);
    sample.lateMsMax = Math.max(sample.lateMsMax, second);
  }
  assert.equal(store.intervalMs, 4_000);
  const samples = store.samples(() => null);
  assert.equal(samples.length, seconds / 4);
  assert.ok(samples.every(({ started, done }) => started === 4 && done === 4));
  assert.deepEqual([samples[1]?.atMs, samples[1]?.lateMsMax], [4_000, 7]);
  assert.deepEqual([samples[1]?.latency.minMs, samples[1]?.latency.maxMs], [4, 7]);
});

test('who changes a VM has it alone, who reads it shares it', () => {
  const pool = new Pool(['a', 'b']);
  const first = () => 0;
  const change = pool.lease('exclusive', first);
  const read = pool.lease('shared', first);
  assert.deepEqual([change?.name, read?.name], ['a', 'b']);
  const other = pool.lease('shared', first);
  assert.equal(other?.name, 'b');
  assert.equal(pool.lease('exclusive', first), undefined);
  read?.release();
  assert.equal(pool.lease('exclusive', first), undefined);
  other?.release();
  assert.equal(pool.lease('exclusive', first)?.name, 'b');
  change?.release();
  assert.equal(pool.lease('shared', first)?.name, 'a');
  assert.equal(new Pool([]).lease('shared', first), undefined);
});

test('a run is dead when its process is, and unknown where that cannot be seen', async () => {
  const owner = thisOwner('one');
  assert.equal(stateOf(owner), 'alive');
  assert.equal(stateOf({ ...owner, started_ticks: '1' }), 'dead');
  assert.equal(stateOf({ ...owner, boot_id: 'another' }), 'dead');
  assert.equal(stateOf({ ...owner, boot_id: 'another', host: 'elsewhere' }), 'unknown');
  assert.equal(stateOf({ ...owner, pid_namespace: 'pid:[1]' }), 'unknown');
  const child = spawn('true');
  await once(child, 'exit');
  assert.equal(stateOf({ ...owner, pid: child.pid ?? 0 }), 'dead');
  assert.equal(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(), owner.boot_id);
});

test('the mark is beside other metadata, and what is none is not taken for one', () => {
  const owner = thisOwner('one');
  const metadata = withMark({ team: 'blue' }, owner);
  assert.equal(metadata['team'], 'blue');
  assert.deepEqual(markOf({ metadata: JSON.parse(JSON.stringify(metadata)) }), owner);
  for (const other of [undefined, {}, { metadata: {} }, { metadata: { volant_load: 'one' } }]) {
    assert.equal(markOf(other), null);
  }
});

test('a saturated generator is distinguished from a slow daemon, and outweighs thresholds', () => {
  const limits = GENERATOR_LIMITS;
  const sound = {
    index: 0,
    pid: 1,
    loopDelayP99Ms: 99,
    loopDelayMaxMs: 5_000,
    stalledMs: 100,
    measuredMs: 10_000,
    cpuShareMean: 0.5,
    cpuShareMax: 0.89,
    wantedShareMax: 0.9,
    starts: 100,
    lateStarts: 1,
    memoryBytesMax: 1,
  };
  assert.deepEqual(generatorProblems([sound], 60, limits), []);
  assert.match(
    generatorProblems([{ ...sound, lateStarts: 2 }], 60, limits).join(),
    /was late: 2 %/,
  );
  assert.match(generatorProblems([{ ...sound, cpuShareMax: 1 }], 0, limits).join(), /saturated/);
  assert.match(generatorProblems([{ ...sound, loopDelayP99Ms: 101 }], 0, limits).join(), /slow/);
  const still = generatorProblems([{ ...sound, stalledMs: 120 }], 0, limits).join();
  assert.match(still, /stalled: in 1.2 % of the time/);
  const starved = generatorProblems([{ ...sound, wantedShareMax: 0.95 }], 0, limits).join();
  assert.match(starved, /starved: for 95 % of the time/);
  assert.deepEqual(generatorProblems([{ ...sound, wantedShareMax: null }], 0, limits), []);
  const failed = ['create.p99 < 1ms did not hold: 2 ms'];
  const ends = { isInterrupted: false, invalid: [], abortedBy: undefined, failed };
  assert.equal(verdictOf(ends).verdict, 'failed');
  assert.equal(verdictOf({ ...ends, failed: [] }).verdict, 'passed');
  const { verdict, reasons } = verdictOf({ ...ends, invalid: ['The generator was late'] });
  assert.deepEqual([verdict, reasons], ['invalid', ['The generator was late', ...failed]]);
  assert.equal(verdictOf({ ...ends, isInterrupted: true, invalid: ['x'] }).verdict, 'interrupted');
});
