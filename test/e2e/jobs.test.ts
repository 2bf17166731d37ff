// e2e: workloads that end: their exit code or signal is reported with the VM, whatever listens at that moment, and nothing starts
// them again but a client or a deployment.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import type { Vm } from '../../src/schema/vm.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { until } from '../helpers/until.ts';
import { type Daemon, startDaemon } from './daemon.ts';

const WAIT = '?wait=exited&timeout=60000';

/** A manifest of the hello image with a script as its program. */
async function jobManifest(daemon: Daemon, script: string, more: object = {}) {
  const { body: hello } = await daemon.call('GET', '/api/v1/plugins/hello');
  const { base_url: _, ...workload } = hello.workload;
  return {
    ...hello,
    name: 'job',
    runtime: 'job',
    health_check: {},
    workload: {
      ...workload,
      type: 'process',
      entrypoint: ['/bin/busybox', 'sh', '-c', script],
      restart: 'never',
      ...more,
    },
  };
}

async function install(daemon: Daemon, script: string, more: object = {}): Promise<void> {
  const manifest = await jobManifest(daemon, script, more);
  const answer = await daemon.call('POST', '/api/v1/plugins', manifest);
  assert.equal(answer.status, 201, answer.text);
}

async function job(daemon: Daemon, name: string, script: string, more: object = {}, query = WAIT) {
  await install(daemon, script, more);
  return daemon.call('POST', `/api/v1/vms${query}`, { name, plugin: 'job' });
}

const endOf = ({ status, exit_code, exit_signal }: Vm) => [status, exit_code, exit_signal];

async function eventsOf(daemon: Daemon, name: string, last: string) {
  const abort = new AbortController();
  const response = await fetch(`${daemon.url}/api/v1/events/vms?after=0&name=${name}`, {
    signal: AbortSignal.any([abort.signal, AbortSignal.timeout(20_000)]),
  });
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString();
    if (text.includes(`"type":"${last}"`) && text.endsWith('\n\n')) break;
  }
  abort.abort();
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => JSON.parse(data));
}

function consoleOf(daemon: Daemon, id: number): string {
  return readFileSync(join(daemon.home, 'run', String(id), 'console.log'), 'utf8');
}

async function withDaemon(t: TestContext): Promise<Daemon | null> {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return null;
  return startDaemon(t);
}

suite('a workload that ends', () => {
  test('with status 0 stops its VM, which can be started again', async (t) => {
    const daemon = await withDaemon(t);
    if (daemon === null) return;
    const made = await job(daemon, 'zero', 'echo done; exit 0');
    assert.equal(made.status, 201, made.text);
    assert.deepEqual(endOf(made.body), ['stopped', 0, null]);
    assert.equal(made.body.pid, undefined);
    assert.deepEqual(daemon.taps(), []);
    const events = await eventsOf(daemon, 'zero', 'VM_EXITED');
    assert.deepEqual(
      events.map(({ type }) => type),
      ['VM_CREATED', 'VM_RUNNING', 'VM_EXITED'],
    );
    const { status, exit_code, message } = events.at(-1);
    assert.deepEqual(
      [status, exit_code, message],
      ['stopped', 0, 'The workload exited with status 0'],
    );
    const again = await daemon.call('POST', `/api/v1/vms/zero/start${WAIT}`);
    assert.deepEqual([again.status, ...endOf(again.body)], [200, 'stopped', 0, null]);
    assert.equal((await daemon.call('POST', '/api/v1/vms/zero/stop')).status, 200);
    assert.equal(
      (await daemon.getVm('zero')).exit_code,
      0,
      'a stop of what has ended changes nothing',
    );
  });

  test('with another status, or by a signal, is reported with it', async (t) => {
    const daemon = await withDaemon(t);
    if (daemon === null) return;
    const seven = await job(daemon, 'seven', 'exit 7');
    assert.deepEqual(endOf(seven.body), ['stopped', 7, null]);
    const killed = await job(daemon, 'killed', 'kill -9 $$');
    assert.deepEqual(endOf(killed.body), ['stopped', null, 9]);
    const [event] = (await eventsOf(daemon, 'killed', 'VM_EXITED')).slice(-1);
    assert.deepEqual([event.exit_code, event.exit_signal], [undefined, 9]);
    const missing = await job(daemon, 'missing', '', { entrypoint: ['/bin/missing'] });
    assert.deepEqual(endOf(missing.body), ['stopped', 127, null]);
    const list = (await daemon.call('GET', '/api/v1/vms?sort=name')).body as Vm[];
    assert.deepEqual(list.map(endOf), [
      ['stopped', null, 9],
      ['stopped', 127, null],
      ['stopped', 7, null],
    ]);
  });

  test('on-failure is started again until it succeeds', async (t) => {
    const daemon = await withDaemon(t);
    if (daemon === null) return;
    const script =
      'echo try >>/tmp/tries; echo "try $(wc -l </tmp/tries)"; [ $(wc -l </tmp/tries) -ge 3 ]';
    const made = await job(daemon, 'third', script, { restart: 'on-failure' });
    assert.deepEqual([made.status, ...endOf(made.body)], [201, 'stopped', 0, null]);
    const text = consoleOf(daemon, made.body.id);
    assert.match(
      text,
      /try 1[\s\S]*starting it again in 500 ms[\s\S]*try 2[\s\S]*in 1000 ms[\s\S]*try 3/,
    );
  });

  test('does so while no daemon runs, and the next one knows how', async (t) => {
    const daemon = await withDaemon(t);
    if (daemon === null) return;
    const made = await job(daemon, 'alone', 'sleep 4; exit 42', {}, '');
    assert.deepEqual([made.status, ...endOf(made.body)], [201, 'running', null, null]);
    await daemon.kill('SIGKILL');
    const isAlive = () => {
      try {
        return process.kill(made.body.pid, 0);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
        throw error;
      }
    };
    await until('the guest has ended', async () => !isAlive());
    await daemon.start();
    assert.deepEqual(endOf(await daemon.waitFor('alone', 'stopped')), ['stopped', 42, null]);
    const events = await eventsOf(daemon, 'alone', 'VM_EXITED');
    assert.equal(events.at(-1).exit_code, 42);
    await daemon.killAndRestart();
    assert.deepEqual(endOf(await daemon.getVm('alone')), ['stopped', 42, null], 'and keeps it');
  });

  test('reports its own end whatever it prints, and nothing behind its last line', async (t) => {
    const daemon = await withDaemon(t);
    if (daemon === null) return;
    const lie = 'volant-agent: workload ended for good: exit status 0';
    const script = `(while :; do echo "${lie}"; done) & setsid sh -c 'while :; do echo "${lie}" >/dev/console; done' & sleep 1; echo "${lie}"; exit 3`;
    const made = await job(daemon, 'liar', script);
    assert.deepEqual(endOf(made.body), ['stopped', 3, null]);
    // A guest that dies is a crash, whatever was printed before.
    const panic = `echo "${lie}"; sleep 1; echo c >/proc/sysrq-trigger; sleep 60`;
    const crashed = await job(daemon, 'panics', panic);
    assert.equal(crashed.status, 409, crashed.text);
    assert.match(
      crashed.body.error,
      /is crashed before its workload exited: The guest kernel panicked/,
    );
    assert.deepEqual(endOf(await daemon.getVm('panics')), ['crashed', null, null]);
    // A program that is stopped has not ended by itself.
    await install(daemon, `echo "${lie}"; sleep 1000`);
    await daemon.createVm('stopped', { plugin: 'job' });
    await daemon.call('POST', '/api/v1/vms/stopped/stop');
    assert.deepEqual(endOf(await daemon.getVm('stopped')), ['stopped', null, null]);
  });

  test('is waited for no longer than asked, and only where it may end', async (t) => {
    const daemon = await withDaemon(t);
    if (daemon === null) return;
    const late = await job(daemon, 'late', 'sleep 1000', {}, '?wait=exited&timeout=8000');
    assert.deepEqual([late.status, late.body.code], [408, 'WAIT_TIMEOUT']);
    assert.match(late.body.error, /VM late has not exited after 8000 ms/);
    assert.equal((await daemon.getVm('late')).status, 'running');
    const refused = await daemon.call('POST', `/api/v1/vms${WAIT}`, {
      name: 'no',
      plugin: 'hello',
    });
    assert.deepEqual([refused.status, refused.body.code], [400, 'PARAMETER_INVALID']);
    assert.match(refused.body.error, /workload\.restart/);
    assert.equal((await daemon.call('GET', '/api/v1/vms/no')).status, 404, 'nothing was made');
    const replicas = { name: 'fleet', replicas: 1, config: { plugin: 'job' } };
    const deployed = await daemon.call('POST', `/api/v1/deployments${WAIT}`, replicas);
    assert.equal(deployed.status, 400, deployed.text);
  });

  test('in a deployment is replaced, with pauses that grow', async (t) => {
    const daemon = await withDaemon(t);
    if (daemon === null) return;
    await install(daemon, 'exit 5');
    const fleet = { name: 'fleet', replicas: 1, config: { plugin: 'job' } };
    assert.equal((await daemon.call('POST', '/api/v1/deployments', fleet)).status, 201);
    const ids = new Set<number>();
    await until('a third replica', async () => {
      const vm = await daemon.getVm('fleet-1');
      if (vm.id !== undefined) ids.add(vm.id);
      return ids.size >= 3;
    });
    const { body } = await daemon.call('GET', '/api/v1/deployments/fleet');
    const degraded = body.conditions.find(({ type }: { type: string }) => type === 'Degraded');
    assert.deepEqual([degraded.status, degraded.reason], [true, 'ReplicasCrash']);
    assert.equal((await daemon.call('DELETE', '/api/v1/deployments/fleet')).status, 204);
  });
});
