// A client that lost its connection sends its request again, with the key that it had: it is carried out
// once, whatever happened in between.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../../src/config.ts';
import { VolantError } from '../../src/lib/errors.ts';
import { engineOn, newWorld } from './fakes.ts';

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

test('a twin at the same time waits for the first', async () => {
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

test('a request that was cut off with its daemon is told that it comes again', async () => {
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
