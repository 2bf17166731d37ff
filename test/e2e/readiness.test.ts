// e2e: `ready` means usable, with every type of health check. A workload that exits repeatedly is reported everywhere,
// also by a daemon that has just adopted its VM. One guest at a time.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { type Answer, type Daemon, startDaemon } from './daemon.ts';

const OPENS_LATE = 'sleep 4; exec httpd -f -p 127.0.0.1:8000 -h /srv/hello';

/** A config whose workload is a script of a shell. */
async function configOf(daemon: Daemon, script: string, health_check: object): Promise<object> {
  const { body: manifest } = await daemon.call('GET', '/api/v1/plugins/hello');
  manifest.workload.entrypoint = ['/bin/sh', '-c', script];
  return { manifest: { ...manifest, health_check } };
}

/** undefined without what a real guest needs. */
async function daemonFor(t: TestContext): Promise<Daemon | undefined> {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return undefined;
  return startDaemon(t);
}

test('a workload that crashes repeatedly is reported in every place, after a restart of the daemon, too', async (t) => {
  const daemon = await daemonFor(t);
  if (daemon === undefined) return;
  const script = 'echo looking; echo no database >&2; exit 3';
  const config = await configOf(daemon, script, { port: 8000 });
  const vm = { name: 'loop', plugin: 'hello', config };
  const waited = await notReady(daemon, vm, /restarted/);
  assert.match(waited.body.error, /restarted \d+ times: the entrypoint ended: exit status 3/);
  assert.equal(waited.body.details['workload.last_exit'], 'exit status 3');
  assert.match(waited.body.details['workload.last_lines'], /no database/);
  const assertTold = async () => {
    const deadline = Date.now() + 60_000;
    for (;;) {
      const { body } = await daemon.call('GET', '/api/v1/vms/loop');
      const { workload, conditions } = body;
      const seen = conditions.find(({ type }: { type: string }) => type === 'WorkloadRunning');
      if (workload?.restarts >= 3 && seen?.reason === 'CrashLoop') return body;
      assert.ok(Date.now() < deadline, JSON.stringify(body));
      await pause(100);
    }
  };
  const { workload, status } = await assertTold();
  assert.equal(status, 'running');
  assert.deepEqual([workload.exit_code, workload.check], [3, 'tcp']);
  // Of two pipes nobody knows which line came first.
  assert.deepEqual([...workload.last_lines].sort(), ['looking', 'no database']);
  const told = await volar(daemon, 'vms', 'get', 'loop');
  assert.match(told, /workload +(?:backoff|starting).*restarted \d+ times/);
  assert.match(told, /last exit +exit status 3/);
  assert.match(told, /no database/);
  await daemon.killAndRestart();
  await assertTold();
});

test('a port that opens late: not ready before, with a check and without', async (t) => {
  const daemon = await daemonFor(t);
  if (daemon === undefined) return;
  for (const [name, check] of [
    ['tcp', { type: 'tcp', port: 8000 }],
    ['listen', {}],
  ] as const) {
    const config = await configOf(daemon, OPENS_LATE, check);
    const made = await daemon.call('POST', '/api/v1/vms?wait=ready&timeout=4000', {
      name,
      plugin: 'hello',
      config,
    });
    assert.equal(made.status, 408, name);
    await untilReady(daemon, name);
    const answer = await daemon.call('GET', `/api/v1/vms/${name}/agent/v1/`);
    assert.equal(answer.status, 200, `${name} can be used at once`);
    assert.equal((await daemon.call('DELETE', `/api/v1/vms/${name}`)).status, 204);
  }
});

test('a command in the guest says whether it is ready, and why not', async (t) => {
  const daemon = await daemonFor(t);
  if (daemon === undefined) return;
  const script = 'exec httpd -f -p 127.0.0.1:8000 -h /srv/hello';
  const command = ['/bin/sh', '-c', 'echo "it warms up"; test -e /tmp/up'];
  const config = await configOf(daemon, script, { command, interval_ms: 500 });
  const vm = { name: 'exec', plugin: 'hello', config };
  const waited = await notReady(daemon, vm, /health check/);
  assert.match(waited.body.error, /health check of the workload fails: .*status 1: it warms up/);
  const warm = { command: 'touch /tmp/up' };
  const warmed = await daemon.call('POST', '/api/v1/vms/exec/exec?wait=exit', warm);
  assert.equal(warmed.status, 200, warmed.text);
  await untilReady(daemon, 'exec');
  const { workload } = (await daemon.call('GET', '/api/v1/vms/exec')).body;
  assert.deepEqual([workload.check, workload.healthy, workload.state], ['exec', true, 'running']);
});

/** A create that waits in vain until the guest has said why. Emulated guests may boot slowly: then it waits for longer. */
async function notReady(daemon: Daemon, vm: { name: string }, why: RegExp): Promise<Answer> {
  let waited: Answer;
  for (const timeout of [10_000, 30_000, 60_000]) {
    waited = await daemon.call('POST', `/api/v1/vms?wait=ready&timeout=${timeout}`, vm);
    assert.equal(waited.status, 408, waited.text);
    if (why.test(waited.body.error)) return waited;
    await daemon.call('DELETE', `/api/v1/vms/${vm.name}`);
  }
  return assert.fail(`${vm.name}: nobody says why`);
}

/** By the body of the VM, which its agent's word has reached by itself. */
async function untilReady(daemon: Daemon, name: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const { body } = await daemon.call('GET', `/api/v1/vms/${name}`);
    if (body.workload?.healthy === true) return;
    assert.ok(Date.now() < deadline, JSON.stringify(body));
    await pause(50);
  }
}

async function volar(daemon: Daemon, ...args: readonly string[]): Promise<string> {
  const program = join(PROJECT_ROOT, 'dist/cli/main.js');
  const { stdout } = await promisify(execFile)(process.execPath, [
    program,
    '--api',
    daemon.url,
    ...args,
  ]);
  return stdout;
}
