// A VM that runs no program of its own, as its agent has it: nothing is started and nothing counts as missing, and what others
// start can be checked.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { before, suite, type TestContext, test } from 'node:test';
import { buildHostAgent, temporaryDirectory } from './programs.ts';
import { httpServer, listening, type ServedAgent, serveAgent } from './served-agent.ts';

let program = '';

async function withoutProgram(t: TestContext, health_check: object = {}): Promise<ServedAgent> {
  const agent = await serveAgent(t, program);
  const manifest = { workload: { type: 'none', entrypoint: [] }, health_check };
  const { status } = await agent.ask('PUT', '/agent/manifest', JSON.stringify(manifest));
  assert.equal(status, 204);
  return agent;
}

suite('a manifest without a program', () => {
  before(() => {
    program = buildHostAgent();
  });

  test('nothing runs, nothing is missing, and the guest powers off at once', async (t) => {
    const agent = await withoutProgram(t);
    const shown = await agent.until(({ state }) => state === 'none');
    assert.deepEqual(
      [shown.pid, shown.restarts, shown.healthy, shown.check, shown.last_exit, shown.reason],
      [0, 0, null, 'none', '', ''],
    );
    assert.equal((await agent.ask('GET', '/v1/')).status, 502);
    const second = await agent.ask('PUT', '/agent/manifest', '{"workload":{"type":"none"}}');
    assert.equal(second.status, 409);
    const ended = once(agent.process, 'exit');
    // There is nothing to wait for: it may be gone before it has answered.
    const asked = agent.ask('POST', '/agent/poweroff').then(
      ({ status }) => status,
      () => 202,
    );
    assert.deepEqual([await asked, await ended], [202, [0, null]]);
  });

  test('a command says whether what was started by others works, before and after', async (t) => {
    const file = `${temporaryDirectory(t)}/ready`;
    const command = ['/bin/sh', '-c', `echo not yet; test -e ${file}`];
    const agent = await withoutProgram(t, { command, interval_ms: 100, timeout_ms: 200 });
    const before = await agent.until(({ healthy }) => healthy === false);
    assert.deepEqual([before.state, before.check], ['none', 'exec']);
    assert.match(before.check_failure, /status 1: not yet/);
    await writeFile(file, '');
    assert.equal((await agent.until(({ healthy }) => healthy === true)).state, 'none');
    await rm(file);
    assert.equal((await agent.until(({ healthy }) => healthy === false)).state, 'none');
  });

  test('so does a port', async (t) => {
    const server = await listening(t, httpServer());
    const { port } = server.address() as AddressInfo;
    const agent = await withoutProgram(t, { type: 'tcp', port, interval_ms: 100 });
    const { state, check } = await agent.until(({ healthy }) => healthy === true);
    assert.deepEqual([state, check], ['none', 'tcp']);
  });
});
