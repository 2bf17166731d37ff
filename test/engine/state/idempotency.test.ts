// A client that lost its connection sends its request again, with the key that it had: it is carried out
// once, whatever happened in between.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import { engineOn, newWorld, type World } from '../fakes.ts';

const done = { status: 201, body: '{"made":true}' };

test('the first request is carried out, later ones get its answer, over restarts', async () => {
  const world = newWorld();
  let count = 0;
  const carryOut = async () => {
    count += 1;
    return done;
  };
  const first = await engineOn(world);
  assert.deepEqual(await first.engine.idempotency.run('k', 'f', carryOut), done);
  assert.deepEqual(await first.engine.idempotency.run('k', 'f', carryOut), done);
  const second = await engineOn(world);
  assert.deepEqual(await second.engine.idempotency.run('k', 'f', carryOut), done);
  assert.equal(count, 1);
});

test('a second request at the same time waits for the first', async () => {
  const { engine } = await engineOn(newWorld());
  let count = 0;
  const carryOut = async () => {
    count += 1;
    await new Promise((resolve) => setImmediate(resolve));
    return done;
  };
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => engine.idempotency.run('k', 'f', carryOut)),
  );
  assert.deepEqual(answers, Array(5).fill(done));
  assert.equal(count, 1);
});

test('another request with the same key is refused', async () => {
  const { engine } = await engineOn(newWorld());
  await engine.idempotency.run('k', 'f', async () => done);
  await assert.rejects(
    engine.idempotency.run('k', 'other', async () => done),
    { code: 'IDEMPOTENCY_MISMATCH' },
  );
});

test('what failed is forgotten and may be tried again', async () => {
  const world = newWorld();
  const { engine } = await engineOn(world);
  const refused = async () => {
    throw new VolantError('VM_NAME_TAKEN');
  };
  await assert.rejects(engine.idempotency.run('k', 'f', refused), { code: 'VM_NAME_TAKEN' });
  assert.equal(world.store.answers.size, 0);
  assert.deepEqual(await engine.idempotency.run('k', 'f', async () => done), done);
});

test('a request that ended with its daemon is recognised when it is repeated', async () => {
  const world = newWorld();
  world.store.answers.set('k', { fingerprint: 'f', answer: null, createdAtMs: 1_700_000_000_000 });
  const { engine } = await engineOn(world);
  const seen: boolean[] = [];
  await engine.idempotency.run('k', 'f', async (again) => {
    seen.push(again);
    return done;
  });
  assert.deepEqual(seen, [true]);
});

test('keeps no more than its bound, and nothing that is too large', async () => {
  const world = newWorld();
  for (let index = 0; index < LIMITS.idempotencyKeysMax + 50; index += 1) {
    world.store.answers.set(`old-${index}`, {
      fingerprint: 'f',
      answer: done,
      createdAtMs: 1_700_000_000_000 + index,
    });
  }
  const { engine } = await engineOn(world);
  await engine.idempotency.run('new', 'f', async () => done);
  assert.equal(world.store.answers.size, LIMITS.idempotencyKeysMax);
  assert.equal(world.store.answers.has('old-0'), false);
  const body = 'x'.repeat(LIMITS.idempotencyAnswerBytesMax + 1);
  await engine.idempotency.run('large', 'f', async () => ({ status: 200, body }));
  assert.equal(world.store.answers.has('large'), false);
});

const LARGE = { status: 200, body: 'x'.repeat(LIMITS.idempotencyAnswerBytesMax) };
const LARGE_MAX = Math.floor(LIMITS.idempotencyBytesMax / LIMITS.idempotencyAnswerBytesMax);

const bytesIn = (world: World) =>
  [...world.store.answers.values()].reduce((sum, one) => sum + (one.answer?.body.length ?? 0), 0);

test('answers have a budget of bytes, in memory and in the store, and the oldest go first', async () => {
  const world = newWorld();
  const { engine } = await engineOn(world);
  const ask = (index: number) => engine.idempotency.run(`k-${index}`, 'f', async () => LARGE);
  for (let index = 0; index < LARGE_MAX + 40; index += 1) {
    await ask(index);
    assert.ok(bytesIn(world) <= LIMITS.idempotencyBytesMax);
  }
  assert.ok(bytesIn(world) > LIMITS.idempotencyBytesMax * 0.95);
  assert.equal(world.store.answers.has('k-0'), false);
  assert.equal(world.store.answers.has(`k-${LARGE_MAX + 39}`), true);
  // What the store forgot, memory has forgotten, too.
  let isCarriedOut = false;
  await engine.idempotency.run('k-0', 'f', async () => {
    isCarriedOut = true;
    return done;
  });
  assert.ok(isCarriedOut);
});

test('what an earlier daemon kept beyond the budget leaves memory and store', async () => {
  const world = newWorld();
  const createdAtMs = 1_700_000_000_000;
  for (let index = 0; index < LARGE_MAX * 2; index += 1) {
    const record = { fingerprint: 'f', answer: LARGE, createdAtMs: createdAtMs + index };
    world.store.answers.set(`old-${index}`, record);
  }
  const { engine } = await engineOn(world);
  // A key that is used again before it has left the disk is kept.
  await engine.idempotency.run('old-0', 'f', async () => done);
  assert.ok(bytesIn(world) <= LIMITS.idempotencyBytesMax);
  assert.deepEqual(world.store.answers.get('old-0')?.answer, done);
  assert.equal(world.store.answers.has('old-1'), false);
});

test('what could not be removed from the disk is removed with the next one', async () => {
  const world = newWorld();
  const { engine } = await engineOn(world);
  const ask = (index: number) => engine.idempotency.run(`k-${index}`, 'f', async () => LARGE);
  for (let index = 0; index < LARGE_MAX; index += 1) await ask(index);
  let failures = 0;
  world.store.beforeCommit = () => {
    failures += 1;
    if (failures === 2) throw new VolantError('STORE_UNAVAILABLE');
  };
  await assert.rejects(ask(LARGE_MAX), { code: 'STORE_UNAVAILABLE' });
  await ask(LARGE_MAX + 1);
  assert.ok(bytesIn(world) <= LIMITS.idempotencyBytesMax);
});
