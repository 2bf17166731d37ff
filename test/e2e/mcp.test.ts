// e2e: an agent works inside a real guest: the official client sends a request, runs an action, reads the log and types on
// the console. The VM has no network card: everything uses the agent's channel and the serial port.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { LIMITS } from '../../src/config/limits.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { type Json, modernClient } from '../http/mcp/mcp-clients.ts';
import { startDaemon } from './daemon.ts';
import { installProbe } from './probe-image.ts';

/** A shell reads what is typed on the console; the workload serves, and writes a line a second. */
const WORKLOAD = [
  '/bin/sh',
  '-c',
  'sh </dev/console >/dev/console 2>&1 & (i=0; while :; do echo tick $i; i=$((i+1)); sleep 1; done) & exec httpd -f -p 127.0.0.1:8000 -h /srv',
];

suite('an agent', () => {
  test('sends a request, runs an action, reads the log and uses the console of a guest', async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
    const daemon = await startDaemon(t);
    await installProbe(daemon, {
      workload: { type: 'http', base_url: 'http://127.0.0.1:8000', entrypoint: WORKLOAD },
      actions: { echo: { method: 'POST', path: '/cgi-bin/echo' } },
    });
    const client = await modernClient(t, daemon);
    await client.listTools();
    const call = async (tool: string, args: Record<string, unknown> = {}): Promise<Json> => {
      const asked = { name: `volant.vms.${tool}`, arguments: { name: 'quiet', ...args } };
      const result = await client.callTool(asked, { timeout: 120_000 });
      assert.notEqual(result.isError, true, JSON.stringify(result.content));
      return result.structuredContent;
    };
    await call('create', {
      plugin: 'probe',
      config: { network: { mode: 'vsock' } },
      wait: 'ready',
      timeout: 90_000,
    });

    const answer = await call('request', { path: '/cgi-bin/hostname' });
    assert.deepEqual([answer.status, answer.body, answer.complete], [200, 'quiet\n', true]);
    const posted = { path: '/cgi-bin/count', method: 'POST', body: 'AAECAw==' };
    assert.equal((await call('request', { ...posted, body_encoding: 'base64' })).body.trim(), '4');
    const large = await call('request', { path: '/cgi-bin/large', answer_bytes: 1000 });
    assert.deepEqual([large.body.length, large.complete], [1000, false]);
    assert.equal((await call('request', { path: '/nothing' })).status, 404);

    const echoed = await call('action', { action: 'echo', body: { words: ['a', 'b'] } });
    assert.deepEqual(echoed.answer, { host: 'quiet', got: { words: ['a', 'b'] } });

    const first = await call('logs', { limit: 1 });
    const [, number] = /^tick (\d+)$/.exec(first.lines[0].line) ?? [];
    const next = await call('logs', { cursor: first.cursor, wait: 10_000, limit: 1 });
    assert.equal(next.lines[0].line, `tick ${Number(number) + 1}`);
    assert.deepEqual([next.lost, next.restarted], [0, false]);

    const typed = await call('console.write', {
      input: 'echo $((6*7))-from-$(hostname)',
      until: '42-from-quiet',
      timeout: 20_000,
    });
    assert.equal(typed.found, true, typed.output);
    assert.match((await call('console.read')).output, /42-from-quiet/);

    // Every stream to the guest was given back.
    for (let count = 0; count <= LIMITS.agentStreamsMax; count += 1) {
      await call('request', { path: '/cgi-bin/hostname' });
    }
    assert.match((await call('operations')).operations[0].kind, /create/);
    const stopped = call('wait', { status: 'stopped', timeout: 60_000 });
    await call('stop');
    assert.equal((await stopped).status, 'stopped');
  });
});
