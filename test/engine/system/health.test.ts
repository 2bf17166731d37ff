// engine: health is found out by trying, and is reported in time whatever hangs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { Health } from '../../../src/engine/system/health.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import { silentLog } from '../fakes.ts';

function createWorld() {
  const world = {
    nowMs: 0,
    probes: 0,
    store: async (): Promise<void> => undefined,
    threads: async (): Promise<void> => undefined,
    stalledMs: 0,
    isDamaged: false,
    hanging: 0,
  };
  const health = new Health({
    store: {
      probe: () => {
        world.probes += 1;
        return world.store();
      },
    },
    host: { probeThreads: () => world.threads(), hangingJobs: () => world.hanging },
    stalledMs: () => world.stalledMs,
    areRecordsDamaged: () => world.isDamaged,
    clock: { monotonicMs: () => world.nowMs },
    log: silentLog,
  });
  /** What is found by a look of its own. */
  const look = () => {
    world.nowMs += LIMITS.healthKeepMs;
    return health.report();
  };
  return { world, health, look };
}

const never = () => new Promise<void>(() => undefined);

test('it is healthy when a write reached the disk and a thread answered', async () => {
  const { world, look } = createWorld();
  assert.deepEqual(await look(), { reasons: [], warnings: [] });
  world.hanging = 2;
  assert.deepEqual(await look(), { reasons: [], warnings: ['JOBS_HANGING'] });
  world.isDamaged = true;
  assert.deepEqual(await look(), { reasons: [], warnings: ['JOBS_HANGING', 'RECORDS_DAMAGED'] });
});

test('many who ask at once share one look, and one of a moment ago', async () => {
  const { world, health, look } = createWorld();
  await look();
  await Promise.all(Array.from({ length: 100 }, () => health.report()));
  assert.equal(world.probes, 1);
  await look();
  assert.equal(world.probes, 2);
});

test('what is wrong is reported, and is over when it is over, though nobody writes', async () => {
  const { world, look } = createWorld();
  world.store = () => Promise.reject(new VolantError('DISK_SPACE_LOW'));
  assert.deepEqual((await look()).reasons, ['DISK_FULL']);
  world.store = () => Promise.reject(new VolantError('STORE_UNAVAILABLE'));
  world.threads = () => Promise.reject(new VolantError('OVERLOADED'));
  assert.deepEqual((await look()).reasons, ['STORE_UNAVAILABLE', 'WORKERS_STUCK']);
  world.store = async () => undefined;
  world.threads = async () => undefined;
  world.stalledMs = LIMITS.healthStallMs;
  assert.deepEqual((await look()).reasons, ['LOOP_STALLED']);
  world.stalledMs = 0;
  assert.deepEqual((await look()).reasons, []);
});

test('what hangs is reported within the bound, and is not asked again beside itself', async () => {
  const { world, look } = createWorld();
  world.store = never;
  world.threads = never;
  const startedMs = performance.now();
  assert.deepEqual((await look()).reasons, ['STORE_STUCK', 'WORKERS_STUCK']);
  assert.ok(performance.now() - startedMs < LIMITS.healthTimeoutMs + 1_000);
  assert.deepEqual((await look()).reasons, ['STORE_STUCK', 'WORKERS_STUCK']);
  assert.equal(world.probes, 1);
});
