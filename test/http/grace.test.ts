// http: the grace period, given in requests, tools and bodies.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../../src/config/limits.ts';
import { createFakeEngine, vmRecord } from './fake-engine.ts';
import { ask, errorIn, startServer } from './harness.ts';

const ENDS = [
  'POST /api/v1/vms/one/stop',
  'POST /api/v1/vms/one/restart',
  'DELETE /api/v1/vms/one',
];

test('grace_seconds of stop, restart and delete reaches the engine as milliseconds', async (t) => {
  const fake = createFakeEngine();
  fake.vms.put(vmRecord(1, 'one'));
  const server = await startServer(t, { fake });
  for (const operation of ENDS) await ask(server, `${operation}?grace_seconds=7`);
  fake.vms.put(vmRecord(1, 'one'));
  for (const operation of ENDS) await ask(server, operation);
  assert.deepEqual(
    // The last is the cause.
    fake.calls.map(({ name, given }) => [name, ...given.slice(0, -1)]),
    [
      ['vms.stop', 'one', 7_000],
      ['vms.restart', 'one', undefined, 7_000],
      ['vms.destroy', 'one', 7_000],
      ['vms.stop', 'one', undefined],
      ['vms.restart', 'one', undefined, undefined],
      ['vms.destroy', 'one', undefined],
    ],
  );
});

test('what is no whole number of seconds within the bound is refused, and nothing is done', async (t) => {
  const server = await startServer(t);
  for (const operation of ENDS) {
    for (const text of ['', '-1', '1.5', 'soon', '1e3', String(LIMITS.graceSecondsMax + 1)]) {
      const answer = await ask(server, `${operation}?grace_seconds=${text}`);
      assert.equal(answer.status, 400, `${operation} ${text}`);
      const { code, details } = errorIn(answer);
      assert.equal(code, 'PARAMETER_INVALID');
      assert.deepEqual(Object.keys(details ?? {}), ['grace_seconds']);
    }
  }
  assert.equal(server.fake.calls.length, 0);
});

test('stop_grace_seconds has the same bounds in a config, dry runs included', async (t) => {
  const server = await startServer(t);
  for (const stop_grace_seconds of [-1, 1.5, '5', LIMITS.graceSecondsMax + 1]) {
    const body = JSON.stringify({ name: 'two', plugin: 'hello', config: { stop_grace_seconds } });
    for (const query of ['', '?dry_run=true']) {
      const answer = await ask(server, `POST /api/v1/vms${query}`, { body });
      assert.equal(answer.status, 400, `${stop_grace_seconds}`);
      assert.match(JSON.stringify(errorIn(answer).details), /stop_grace_seconds/);
    }
  }
  assert.equal(server.fake.calls.length, 0);
});

test('tools take it, within the same bounds', async (t) => {
  const fake = createFakeEngine();
  fake.vms.put(vmRecord(1, 'one'));
  const server = await startServer(t, { fake });
  const call = async (tool: string, grace_seconds: unknown) => {
    const params = { name: tool, arguments: { name: 'one', grace_seconds } };
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });
    return ask(server, 'POST /api/v1/mcp', { body });
  };
  for (const tool of ['volant.vms.stop', 'volant.vms.restart', 'volant.vms.delete']) {
    const { text } = await call(tool, LIMITS.graceSecondsMax + 1);
    assert.match(text, /grace_seconds/, tool);
  }
  assert.equal(fake.calls.length, 0);
  await call('volant.vms.stop', 0);
  await call('volant.vms.restart', 1);
  await call('volant.vms.delete', 2);
  assert.deepEqual(
    fake.calls.map(({ name, given }) => [name, given.at(-2)]),
    [
      ['vms.stop', 0],
      ['vms.restart', 1_000],
      ['vms.destroy', 2_000],
    ],
  );
});
