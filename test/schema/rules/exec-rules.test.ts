// schema: rules for a request to run a program.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CreateExec } from '../../../src/schema/exec.ts';
import { execProblems } from '../../../src/schema/rules/exec-rules.ts';

const wrong = (request: CreateExec) => Object.keys(execProblems(request)).sort();

test('a request to run a program is refused for every member that is wrong', () => {
  assert.deepEqual(wrong({ argv: ['true'] }), []);
  assert.deepEqual(wrong({ command: 'true', user: 'www-data:100', stdin_base64: 'YQ==' }), []);
  assert.deepEqual(wrong({}), ['argv']);
  assert.deepEqual(wrong({ argv: ['a'], command: 'a' }), ['argv']);
  assert.deepEqual(wrong({ argv: [''] }), ['argv[0]']);
  assert.deepEqual(wrong({ argv: ['a'], env: { 'A=': 'b' } }), ['env.A=']);
  assert.deepEqual(wrong({ argv: ['a'], stdin: 'a', stdin_base64: 'YQ==' }), ['stdin_base64']);
  // What is no base64 would be decoded to something that nobody meant.
  assert.deepEqual(wrong({ argv: ['a'], stdin_base64: 'not base64!', user: 'a b' }), [
    'stdin_base64',
    'user',
  ]);
});
