// What a program that shows only the sentence of an error relies on: it names what is wrong.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VolantError } from '../../src/lib/errors.ts';

test('the sentence of a wrong request names the first member, its rule and how many more there are', () => {
  const details = { memory_mb: 'must be >= 0', name: 'is required', 'config.api': 'is not valid' };
  const error = new VolantError('BODY_INVALID', undefined, { details });
  assert.equal(error.message, 'The request body is not valid: memory_mb must be >= 0, and 2 more');
  assert.equal(error.title, 'The request body is not valid');
  assert.deepEqual(error.details, details);
  const one = new VolantError('PARAMETER_INVALID', undefined, { details: { limit: 'must be 5' } });
  assert.equal(one.message, 'A parameter of the request is not valid: limit must be 5');
});

test('a sentence that says it already, and one of another kind, stay as they are', () => {
  const said = new VolantError('BODY_INVALID', 'It has no name', { details: { a: 'has no name' } });
  assert.equal(said.message, 'It has no name');
  const state = new VolantError('VM_STATE_CONFLICT', 'VM a is stopped', {
    details: { status: 'stopped' },
  });
  assert.equal(state.message, 'VM a is stopped');
});

test('long input of a client is truncated in the sentence', () => {
  const details = { [`config${'.x'.repeat(5000)}`]: 'is not valid' };
  assert.ok(new VolantError('BODY_INVALID', undefined, { details }).message.length < 400);
});
