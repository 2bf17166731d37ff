// e2e: hours of everything at once cost the daemon nothing that it does not give back. The usual run is short and looks at
// what must be so at each rest; whether anything grows is judged where VOLANT_TEST_SOAK_SECONDS leaves time for it.

import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { OPERATIONS } from '../../src/schema/operations.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';
import { EventFollower } from './event-follower.ts';
import { growthOf } from './growth.ts';
import { Churn } from './soak-churn.ts';
import { BOUNDS, Inside, type Measure, type Sample, sampleOf } from './soak-samples.ts';
import { comeToRest, randomOf } from './story.ts';

const SECONDS = Number(process.env['VOLANT_TEST_SOAK_SECONDS'] ?? 6);
const SEED = Number(process.env['VOLANT_TEST_SEED'] ?? Date.now() % 1_000_000);
/** A line for each sample is added to this file. */
const TABLE = process.env['VOLANT_TEST_SOAK_TABLE'];
const CLIENTS = 6;
/** So many rests there are in a run, within these bounds of a round. */
const ROUNDS = 60;
const ROUND_MS_MIN = 2_000;
const ROUND_MS_MAX = 30_000;
/** Less does not tell a leak from warming up. */
const SAMPLES_MIN = 16;
const JUDGED_SECONDS_MIN = 60;
/** Of one event with what is written beside it, on disk. */
const BYTES_PER_EVENT_MAX = 2_000;
const STORE_NOISE_BYTES = 8 * 1024 ** 2;

test(`a daemon holds no more after hours of everything than before (seed ${SEED})`, async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  for (const name of ['stays-1', 'stays-2']) await daemon.createVm(name);
  const churn = new Churn(daemon, randomOf(SEED));
  await churn.prepare();
  if (SECONDS >= JUDGED_SECONDS_MIN) await churn.fill();
  const inside = await Inside.of(daemon.pid());
  t.after(() => inside.close());
  const follower = await EventFollower.of(daemon);
  t.after(() => follower.end());
  const pid = daemon.pid();
  const startMs = performance.now();
  const samples: Sample[] = [];
  const roundMs = Math.min(Math.max((SECONDS * 1000) / ROUNDS, ROUND_MS_MIN), ROUND_MS_MAX);
  while (samples.length === 0 || performance.now() < startMs + SECONDS * 1000) {
    await churn.round(CLIENTS, performance.now() + roundMs);
    await churn.clear();
    await comeToRest(daemon);
    assert.equal(daemon.pid(), pid);
    assert.equal(follower.gap, null, `seed ${SEED}: events`);
    assert.deepEqual(churn.faults, [], `seed ${SEED}`);
    const sample = await sampleOf(daemon, inside, { startMs, lastEvent: follower.last });
    samples.push(sample);
    tabulate(samples);
  }
  const asked = [...churn.counts.values()].reduce((sum, count) => sum + count, 0);
  t.diagnostic(`${samples.length} rests, ${asked} requests, ${follower.last} events, seed ${SEED}`);
  if (SECONDS >= JUDGED_SECONDS_MIN) {
    const never = Object.keys(OPERATIONS).filter((id) => !churn.counts.has(id));
    assert.deepEqual(never, [], 'operations that were never asked for');
  }
  judge(t, samples);
});

function tabulate(samples: readonly Sample[]): void {
  const sample = samples.at(-1);
  if (TABLE === undefined || sample === undefined) return;
  if (samples.length === 1) appendFileSync(TABLE, `${Object.keys(sample).join(',')}\n`);
  appendFileSync(TABLE, `${Object.values(sample).join(',')}\n`);
}

/** What is there at every rest is what was there at the first; what may vary levels off. */
function judge(t: TestContext, samples: readonly Sample[]): void {
  if (samples.length < SAMPLES_MIN) {
    t.diagnostic('too short a run to judge growth');
    return;
  }
  const endless: string[] = [];
  for (const measure of Object.keys(BOUNDS) as Measure[]) {
    const series = samples.map((sample) => sample[measure]);
    const { medians, isEndless } = growthOf(series, BOUNDS[measure]);
    t.diagnostic(`${measure}: ${medians.join(' ')}`);
    if (isEndless) endless.push(measure);
  }
  // The events that are kept fill the records until the oldest go.
  const [first, last] = [samples.at(Math.floor(samples.length / 4)), samples.at(-1)];
  assert.ok(first !== undefined && last !== undefined);
  const grown = last.storeBytes - first.storeBytes;
  const events = last.lastEvent - first.lastEvent;
  t.diagnostic(`storeBytes: ${first.storeBytes} ${last.storeBytes}, ${events} events between`);
  if (grown > STORE_NOISE_BYTES + events * BYTES_PER_EVENT_MAX) endless.push('storeBytes');
  assert.deepEqual(endless, [], `seed ${SEED}: these grow without end`);
}

const MIB = 1024 ** 2;

test('a heap that keeps a few MiB more each hour grows without end', () => {
  // What a daemon did that kept the answers about deleted VMs: 28.4 MiB, and 35.8 MiB an hour later.
  const samples = Array.from({ length: ROUNDS }, (_, index) => {
    const grownMib = 28.4 + (7.4 * index) / (ROUNDS - 1);
    return MIB * (grownMib + 0.2 * Math.sin(index * 7));
  });
  assert.equal(growthOf(samples, BOUNDS.heapBytes).isEndless, true);
  const level = samples.map((_, index) => MIB * (28.4 + 0.4 * Math.sin(index * 7)));
  assert.equal(growthOf(level, BOUNDS.heapBytes).isEndless, false);
});

test('a leak is distinguished from what is filled once', () => {
  const series = (valueAt: (index: number) => number) =>
    Array.from({ length: 40 }, (_, index) => valueAt(index));
  const noise = { noise: 3 };
  assert.equal(
    growthOf(
      series((index) => 100 + index),
      noise,
    ).isEndless,
    true,
  );
  assert.equal(
    growthOf(
      series((index) => 100 + (index % 7)),
      noise,
    ).isEndless,
    false,
  );
  assert.equal(
    growthOf(
      series((index) => 100 - 90 * 0.8 ** index),
      noise,
    ).isEndless,
    false,
  );
  // One that sets in late.
  assert.equal(
    growthOf(
      series((index) => Math.max(100, 60 + index * 2)),
      noise,
    ).isEndless,
    true,
  );
  assert.equal(
    growthOf(
      series((index) => 100 + index / 20),
      noise,
    ).isEndless,
    false,
  );
});
