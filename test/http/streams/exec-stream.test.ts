// http, streams: the event stream of an exec: what is wrong with its parameters. test/e2e/exec.test.ts reads real ones.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, errorIn, outcome, startServer } from '../harness.ts';

const STREAM = 'GET /api/v1/vms/one/exec/1/stream';

test('everything that is wrong with the stream of an exec is named, whichever position counts', async (t) => {
  const server = await startServer(t);
  const cases: readonly [string, string | undefined, readonly string[]][] = [
    ['?stdout=0x10&encoding=null', '414', ['Last-Event-ID', 'encoding', 'stdout']],
    ['?stdout=-1&stderr=x', undefined, ['stderr', 'stdout']],
    ['?stderr=x', '3-4', ['stderr']],
    ['', '3-', ['Last-Event-ID']],
    ['', '-3-4', ['Last-Event-ID']],
    ['', '3-4-5', ['Last-Event-ID']],
  ];
  for (const [query, id, wrong] of cases) {
    const headers = id === undefined ? {} : { 'Last-Event-ID': id };
    const answer = await ask(server, STREAM + query, { headers });
    assert.equal(outcome(answer), '400 PARAMETER_INVALID', `${query} ${id}`);
    assert.deepEqual(Object.keys(errorIn(answer).details ?? {}).sort(), wrong, `${query} ${id}`);
  }
});

test('what is wrong with the body is named beside wrong parameters', async (t) => {
  const server = await startServer(t);
  const body = JSON.stringify({ user: 'a b', stdin_base64: ' a b ' });
  const answer = await ask(server, 'POST /api/v1/vms/one/exec?wait=ready', { body });
  assert.equal(outcome(answer), '400 BODY_INVALID');
  const named = Object.keys(errorIn(answer).details ?? {}).sort();
  assert.deepEqual(named, ['stdin_base64', 'user', 'wait']);
});
