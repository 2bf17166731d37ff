// What a plugin's author relies on to know that a program can be used: a port or a command is asked as the manifest says,
// why it fails is reported, as is the end of a program with its last lines; and each change is sent without a request.

import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { AgentChannel } from '../../src/hypervisor/agent-channel.ts';
import { shareHostAgent, temporaryDirectory } from './programs.ts';
import {
  listening,
  manifestFor,
  NO_LOG,
  type ServedAgent,
  serveAgent,
  soon,
} from './served-agent.ts';

let program = '';

async function running(t: TestContext, script: string, more: object = {}): Promise<ServedAgent> {
  const agent = await serveAgent(t, program);
  const manifest = manifestFor(null, { entrypoint: ['/bin/sh', '-c', script], ...more });
  assert.equal((await agent.ask('PUT', '/agent/manifest', manifest)).status, 204);
  return agent;
}

/** With a program that waits for its end. */
async function checked(t: TestContext, health_check: object, more: object = {}) {
  const agent = await serveAgent(t, program);
  const manifest = JSON.parse(manifestFor(null, more));
  manifest.health_check = { interval_ms: 100, ...health_check };
  const { status } = await agent.ask('PUT', '/agent/manifest', JSON.stringify(manifest));
  assert.equal(status, 204);
  return agent;
}

suite('checks of the agent', () => {
  shareHostAgent((path) => {
    program = path;
  });

  test('a program without a port runs, and nothing waits for one', async (t) => {
    for (const health_check of [{}, { type: 'exec', command: ['/bin/true'] }]) {
      const agent = await checked(t, health_check, { type: 'exec', base_url: undefined });
      const name = 'type' in health_check ? 'exec' : 'none';
      const shown = await agent.until(({ state }) => state === 'running');
      assert.equal(shown.check, name);
      const answer = await agent.ask('GET', '/v1/');
      assert.equal(answer.status, 502);
    }
  });

  test('a port that opens late: not healthy before, and why not', async (t) => {
    const server = await listening(
      t,
      createServer(() => undefined),
    );
    const { port } = server.address() as AddressInfo;
    server.close();
    for (const health_check of [{ type: 'tcp', port }, { type: 'none' }, {}]) {
      const agent = await checked(t, health_check, { base_url: `http://127.0.0.1:${port}` });
      const name = 'port' in health_check ? 'tcp' : 'type' in health_check ? 'none' : 'listen';
      const before = await agent.until(({ check_failure, state }) =>
        name === 'none' ? state === 'running' : check_failure !== '',
      );
      assert.deepEqual([before.check, before.healthy, before.reason], [name, null, '']);
      if (name === 'none') continue;
      assert.equal(before.state, name === 'tcp' ? 'starting' : 'running');
      assert.match(before.check_failure, /nothing listens at/);
      server.listen(port, '127.0.0.1');
      const open = await agent.until(({ healthy }) => healthy === true);
      assert.deepEqual([open.state, open.check_failure], ['running', '']);
      server.close();
      await agent.until(({ healthy }) => healthy === false);
      assert.equal((await agent.workload()).restarts, 0);
    }
  });

  test('a command: its status counts, its first line is reported, and it cannot hang or flood', async (t) => {
    const file = `${temporaryDirectory(t)}/up`;
    const script = 'echo "no $NAME yet"; echo more; yes | head -c 200000; test -e "$0"';
    const command = ['/bin/sh', '-c', script, file];
    const agent = await checked(t, { command, retries: 2 }, { env: { NAME: 'database' } });
    const down = await agent.until(({ check_failure }) => check_failure !== '');
    assert.equal(down.check_failure, 'the command ended with status 1: no database yet');
    assert.deepEqual([down.check, down.healthy, down.state], ['exec', null, 'starting']);
    await writeFile(file, '');
    const up = await agent.until(({ healthy }) => healthy === true);
    assert.deepEqual([up.state, up.restarts], ['running', 0]);
    await rm(file);
    await agent.until(({ check_failure }) => check_failure !== '');
    assert.equal((await agent.workload()).healthy, true, 'one failure is not two');
    await agent.until(({ healthy }) => healthy === false);
    const hanging = await checked(t, {
      command: ['/bin/sh', '-c', 'sleep 1000 & sleep 1000'],
      probe_timeout_ms: 200,
    });
    const late = await hanging.until(({ check_failure }) => check_failure !== '');
    assert.equal(late.check_failure, 'the command has not ended within 200 ms');
    const missing = await checked(t, { command: ['/nonexistent'] });
    const { check_failure } = await missing.until((seen) => seen.check_failure !== '');
    assert.match(check_failure, /status 127: .*cannot execute \/nonexistent/);
  });

  test('the end of a program is reported as a number, with its last lines', async (t) => {
    const script =
      'i=0; while [ $i -lt 9 ]; do echo "line $i"; i=$((i+1)); done; printf "%0200d" 7; exit 3';
    const agent = await running(t, script);
    const ended = await agent.until(({ state }) => state === 'backoff');
    assert.deepEqual([ended.exit_code, ended.exit_signal], [3, undefined]);
    const lines = ['line 5', 'line 6', 'line 7', 'line 8', '0'.repeat(160)];
    assert.deepEqual(ended.last_lines, lines);
    const killed = await running(t, 'echo "a \\"b\\""; kill -9 $$');
    const { exit_code, exit_signal, last_lines } = await killed.until(
      ({ restarts }) => restarts > 1,
    );
    assert.deepEqual([exit_code, exit_signal, last_lines], [undefined, 9, ['a "b"']]);
    const quiet = await running(t, 'exec sleep 100');
    const seen = await quiet.until(({ state }) => state === 'running');
    assert.deepEqual([seen.exit_code, seen.last_lines], [undefined, undefined]);
  });

  test('each change is sent to the host without a request, and a host that connects later gets the state at once', async (t) => {
    const agent = await serveAgent(t, program);
    let told = 0;
    agent.channel.onChange(() => {
      told += 1;
    });
    const script = 'echo started; kill -9 $$';
    const manifest = manifestFor(null, { entrypoint: ['/bin/sh', '-c', script] });
    await agent.ask('PUT', '/agent/manifest', manifest);
    const signal = soon();
    for (const wanted of [1, 2, 3]) {
      while (told < wanted && !signal.aborted) await pause(5);
      assert.ok(told >= wanted, `${told} of ${wanted}`);
    }
    const { restarts } = await agent.workload();
    // Started and ended are two changes; what comes together is told once.
    assert.ok(told <= 2 * (restarts + 1), `${told} for ${restarts}`);
    const next = new AgentChannel(agent.socketPath, NO_LOG);
    t.after(() => next.close());
    await new Promise<void>((resolve) => next.onChange(resolve));
  });
});
