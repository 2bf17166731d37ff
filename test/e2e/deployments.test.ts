// e2e: deployments on a real host: many clients at once, kill -9 of replicas and of the daemon, and then the counts
// compared with the existing processes.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../src/config/limits.ts';
import type { Deployment, DeploymentRevision } from '../../src/schema/deployment.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { until } from '../helpers/until.ts';
import { askGuest, type Daemon, isAlive, signalVm, startDaemon } from './daemon.ts';

const SETTLE_MS = 60_000;

/** Pids of hypervisors whose run directory is below this home. */
function hypervisorsOf(home: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        const cmdline = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return cmdline.includes(`${home}/run/`) && isAlive(pid);
      } catch (error) {
        // It ended while we looked.
        if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
        throw error;
      }
    });
}

async function deployment(daemon: Daemon, name: string): Promise<Deployment> {
  return (await daemon.call('GET', `/api/v1/deployments/${name}`)).body;
}

async function untilReady(daemon: Daemon, name: string, replicas: number): Promise<Deployment> {
  const deadline = Date.now() + SETTLE_MS;
  for (;;) {
    const found = await deployment(daemon, name);
    const settled = found.ready_replicas === replicas && found.replicas.length === replicas;
    if (settled && found.desired_replicas === replicas) return found;
    if (Date.now() > deadline) throw new Error(`${name} is ${JSON.stringify(found)}`);
    await pause(100);
  }
}

/** What the API says, what runs and what the kernel has are the same. */
async function compareWithHost(daemon: Daemon, replicas: number): Promise<void> {
  const { body } = await daemon.call('GET', '/api/v1/vms');
  const pids = (body as { pid: number }[]).map(({ pid }) => pid);
  assert.equal(pids.length, replicas);
  const byNumber = (a: number, b: number) => a - b;
  assert.deepEqual(hypervisorsOf(daemon.home).sort(byNumber), pids.sort(byNumber));
  assert.equal(daemon.taps().length, replicas);
  assert.equal(daemon.runDirectories().length, replicas);
}

suite('simulated replicas', () => {
  test('20 clients scale one deployment at random while replicas and the daemon are killed', async (t) => {
    if (!requireCapability(t, 'root', 'tun', 'netns')) return;
    const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
    const config = { plugin: 'hello' };
    const made = await daemon.call('POST', '/api/v1/deployments', {
      name: 'web',
      replicas: 4,
      config,
    });
    assert.equal(made.status, 201);
    assert.equal(made.body.ready_replicas, 4);

    const endAt = Date.now() + 8_000;
    const statuses = new Set<number>();
    const client = async (seed: number) => {
      for (let round = 0; Date.now() < endAt; round += 1) {
        const replicas = (seed * 7 + round * 5) % 13;
        const answer = await daemon.call('PATCH', '/api/v1/deployments/web', { replicas });
        statuses.add(answer.status);
        const { desired_replicas, ready_replicas } = answer.body;
        assert.ok(ready_replicas <= 12 && desired_replicas <= 12);
      }
    };
    const killer = async () => {
      while (Date.now() < endAt) {
        await pause(150);
        const [victim] = hypervisorsOf(daemon.home);
        if (victim !== undefined && isAlive(victim)) process.kill(victim, 'SIGKILL');
      }
    };
    await Promise.all([...Array.from({ length: 20 }, (_, seed) => client(seed)), killer()]);
    assert.deepEqual([...statuses], [200]);

    await daemon.call('PATCH', '/api/v1/deployments/web', { replicas: 9 });
    await untilReady(daemon, 'web', 9);
    await compareWithHost(daemon, 9);

    const [victim] = hypervisorsOf(daemon.home);
    await daemon.kill('SIGKILL');
    if (victim !== undefined) process.kill(victim, 'SIGKILL');
    await daemon.start();
    await untilReady(daemon, 'web', 9);
    await compareWithHost(daemon, 9);

    assert.equal((await daemon.call('DELETE', '/api/v1/deployments/web')).status, 204);
    await compareWithHost(daemon, 0);
  });
});

suite('simulated replicas and their revisions', () => {
  test('a roll-out that cannot work is undone after a kill -9, and all replicas have the former config', async (t) => {
    if (!requireCapability(t, 'root', 'tun', 'netns')) return;
    const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
    const path = '/api/v1/deployments/web';
    const sized = (memory_mb: number) => ({
      plugin: 'hello',
      resources: { cpu_cores: 1, memory_mb },
    });
    const change = async (method: string, to: string, body: object) => {
      const answer = await daemon.call(method, `${to}?wait=running&timeout=30000`, body);
      assert.ok(answer.status < 300, JSON.stringify(answer.body));
      return answer.body as Deployment;
    };
    await change('POST', '/api/v1/deployments', { name: 'web', replicas: 3, config: sized(128) });
    await change('PATCH', path, { config: sized(160) });
    // Nothing is there to launch it with.
    const broken = { ...sized(160), rootfs: { url: 'http://127.0.0.1:9/none.img' } };
    await daemon.call('PATCH', `${path}?wait=accepted`, { config: broken });
    await daemon.kill('SIGKILL');
    await daemon.start();
    const kept = (await daemon.call('GET', `${path}/revisions`)).body as DeploymentRevision[];
    assert.deepEqual(
      kept.map(({ revision, current, changes }) => [revision, current, changes]),
      [
        [3, true, ['rootfs']],
        [2, false, ['resources.memory_mb']],
        [1, false, []],
      ],
    );
    const back = await change('POST', `${path}/rollback`, {});
    assert.deepEqual([back.revision, back.updated_replicas, back.replicas.length], [4, 3, 3]);
    for (const name of back.replicas) {
      const { body } = await daemon.call('GET', `/api/v1/vms/${name}/config`);
      assert.deepEqual([body.config.resources.memory_mb, body.config.rootfs], [160, undefined]);
    }
    await compareWithHost(daemon, 3);

    for (let memory = 130; memory < 130 + LIMITS.deploymentRevisionsMax; memory += 1) {
      await daemon.call('PATCH', `${path}?wait=accepted`, { config: sized(memory) });
    }
    await daemon.kill('SIGKILL');
    await daemon.start();
    const last = (await daemon.call('GET', `${path}/revisions`)).body as DeploymentRevision[];
    assert.equal(last.length, LIMITS.deploymentRevisionsMax);
    assert.equal(last[0]?.revision, 4 + LIMITS.deploymentRevisionsMax);
    const gone = await daemon.call('POST', `${path}/rollback`, { revision: 1 });
    assert.deepEqual([gone.status, gone.body.code], [404, 'REVISION_NOT_FOUND']);
    assert.equal((await daemon.call('DELETE', path)).status, 204);
    await compareWithHost(daemon, 0);
    assert.equal((await daemon.call('GET', `${path}/revisions`)).status, 404);
  });
});

suite('real guests', () => {
  test('replicas are counted when their health check passes; a new config replaces them one by one', async (t) => {
    if (!requireCapability(t, 'root', 'tun', 'netns', 'qemu', 'kernel')) return;
    const daemon = await startDaemon(t);
    const body = { name: 'web', replicas: 2, config: { plugin: 'hello' } };
    const made = await daemon.call('POST', '/api/v1/deployments?wait=ready&timeout=60000', body);
    assert.equal(made.status, 201);
    assert.equal(made.body.ready_replicas, 2);
    const first = await daemon.getVm('web-1');
    assert.match(await askGuest(first.ip_address, '/v1/'), /web-1/);

    const smaller = { config: { plugin: 'hello', resources: { cpu_cores: 1, memory_mb: 96 } } };
    const rolled = await daemon.call(
      'PATCH',
      '/api/v1/deployments/web?wait=ready&timeout=60000',
      smaller,
    );
    assert.equal(rolled.status, 200);
    assert.equal(rolled.body.updated_replicas, 2);
    assert.equal((await daemon.getVm('web-2')).memory_mb, 96);

    const old = await daemon.getVm('web-2');
    signalVm(old, 'SIGKILL');
    await until('web-2 is replaced', async () => {
      const { id } = await daemon.getVm('web-2');
      return id !== undefined && id !== old.id;
    });
    await untilReady(daemon, 'web', 2);
    assert.equal((await daemon.call('DELETE', '/api/v1/deployments/web')).status, 204);
    await compareWithHost(daemon, 0);
  });

  test('ready waits for the health check, a key makes a create happen once, also over kill -9', async (t) => {
    if (!requireCapability(t, 'root', 'tun', 'netns', 'qemu', 'kernel')) return;
    const daemon = await startDaemon(t);
    const create = (name: string, query = '') =>
      fetch(`${daemon.url}/api/v1/vms${query}`, {
        method: 'POST',
        headers: { 'Idempotency-Key': `make-${name}` },
        body: JSON.stringify({ name, plugin: 'hello' }),
      });
    const early = await create('a', '?wait=ready&timeout=1');
    assert.equal(early.status, 408);
    await daemon.waitFor('a', 'running');
    const restarted = await daemon.call('POST', '/api/v1/vms/a/restart?wait=ready&timeout=60000');
    assert.equal(restarted.status, 200);
    const health = JSON.parse(await askGuest(restarted.body.ip_address, '/healthz'));
    assert.equal(health.workload.healthy, true);

    const twins = await Promise.all([create('b'), create('b'), create('b')]);
    assert.deepEqual(
      twins.map(({ status }) => status),
      [201, 201, 201],
    );
    await daemon.killAndRestart();
    const again = await create('b');
    assert.equal(again.status, 201);
    assert.equal(again.headers.get('idempotent-replayed'), 'true');
    assert.equal((await daemon.call('GET', '/api/v1/vms')).body.length, 2);

    // The daemon dies between the request and its answer: the client asks again, there is one VM.
    const cutOff = create('c').catch(() => undefined);
    await daemon.waitFor('c', 'starting', 'running').catch(() => undefined);
    await daemon.killAndRestart();
    await cutOff;
    const retried = await create('c');
    assert.equal(retried.status, 201);
    assert.equal((await daemon.call('GET', '/api/v1/vms')).body.length, 3);
  });
});
