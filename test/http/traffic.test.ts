// http: how many requests may be under way, in total and for one client.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../../src/config/limits.ts';
import { Traffic } from '../../src/http/traffic.ts';
import { VolantError } from '../../src/lib/errors.ts';

const MAX = LIMITS.requestsInFlightMax;

/** How many it takes of this client until it refuses one, and what it says then. */
function fill(traffic: Traffic, client: string): { taken: number; retryAfterSeconds: number } {
  for (let taken = 0; taken <= MAX; taken += 1) {
    try {
      traffic.admit(client);
    } catch (error) {
      assert.ok(error instanceof VolantError && error.code === 'OVERLOADED');
      return { taken, retryAfterSeconds: error.retryAfterSeconds ?? 0 };
    }
    traffic.begin(client);
  }
  throw new Error('there is no bound');
}

test('one client has half of the requests under way at most, and others find room', () => {
  const traffic = new Traffic();
  const first = fill(traffic, 'first');
  assert.ok(Math.abs(first.taken - MAX / 2) <= 1, String(first.taken));
  const second = fill(traffic, 'second');
  assert.ok(Math.abs(second.taken - MAX / 4) <= 1, String(second.taken));
  traffic.admit('third');
  for (let index = 0; index < first.taken; index += 1) traffic.end('first');
  traffic.admit('first');
});

test('a client with much under way is asked to wait longer', () => {
  const { taken, retryAfterSeconds } = fill(new Traffic(), 'first');
  const guess = taken / LIMITS.launchesPerSecondGuess;
  assert.ok(Math.abs(retryAfterSeconds - guess) <= 1, `${retryAfterSeconds} s`);
});

test('all is counted, and ends: nothing is left of a client that has gone', async () => {
  const traffic = new Traffic();
  const readers = fill(traffic, '');
  assert.equal(readers.taken, MAX);
  assert.throws(() => traffic.admit('new'), { code: 'OVERLOADED' });
  let isIdle = false;
  const idle = traffic.idle().then(() => {
    isIdle = true;
  });
  for (let index = 0; index < readers.taken; index += 1) {
    assert.equal(isIdle, false);
    traffic.end('');
  }
  await idle;
  assert.equal(traffic.size, 0);
});

test('a daemon that ends takes nothing new', () => {
  const traffic = new Traffic();
  traffic.accepting = false;
  assert.throws(() => traffic.requireOpen(), { code: 'SHUTTING_DOWN' });
  assert.throws(() => traffic.admit('first'), { code: 'SHUTTING_DOWN' });
});
