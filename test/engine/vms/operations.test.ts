// engine, vms: who is sent away from a line that is full is told when to come back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Operations } from '../../../src/engine/vms/operations.ts';
import { VolantError } from '../../../src/lib/errors.ts';

test('OVERLOADED has the time that the line takes at its present pace', async () => {
  let nowMs = 1_000_000;
  const operations = new Operations(
    { runningMax: 1, waitingMax: 30, perVmMax: 8 },
    { monotonicMs: () => nowMs },
  );
  // One each half second, one after the other.
  for (let vmId = 1; vmId <= 20; vmId += 1) {
    await operations.run(vmId, async () => {
      nowMs += 500;
    });
  }
  let letGo: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const line = Array.from({ length: 31 }, (_, index) => operations.run(100 + index, () => held));
  await Promise.resolve();
  assert.throws(
    () => operations.requireRoom(),
    (error) => {
      assert.ok(error instanceof VolantError && error.code === 'OVERLOADED');
      const { retryAfterSeconds = 0 } = error;
      assert.ok(retryAfterSeconds >= 13 && retryAfterSeconds <= 17, `${retryAfterSeconds} s`);
      return true;
    },
  );
  letGo();
  await Promise.all(line);
  operations.requireRoom();
});

test('an error that says nothing about it has what the table says', () => {
  assert.equal(new VolantError('STORE_UNAVAILABLE').retryAfterSeconds, 5);
  assert.equal(new VolantError('OVERLOADED').retryAfterSeconds, 1);
  assert.equal(new VolantError('OVERLOADED', 'x', { retryAfterSeconds: 9 }).retryAfterSeconds, 9);
  assert.equal(new VolantError('VM_NOT_FOUND').retryAfterSeconds, undefined);
});
