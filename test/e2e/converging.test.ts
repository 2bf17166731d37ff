// e2e: nothing stays wrong after an error: the failed step is repeated until it succeeds, without a restart.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { hostTagOf } from '../../src/engine/vm-record/derived-names.ts';
import { IMAGES, requireCapability } from '../helpers/capabilities.ts';
import { until } from '../helpers/until.ts';
import { type Daemon, isAlive, signalVm, startDaemon } from './daemon.ts';

const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };
/** A daemon whose filter a test can remove, and which finds `nft` in a directory where the test can break it. */
async function withBreakableNft(t: TestContext) {
  const bin = mkdtempSync(join(tmpdir(), 'volant-nft-'));
  const broken = join(bin, 'broken');
  const real = execFileSync('sh', ['-c', 'command -v nft'], { encoding: 'utf8' }).trim();
  const script = `#!/bin/sh\n[ -e ${broken} ] && { echo 'nft: no' >&2; exit 1; }\nexec ${real} "$@"\n`;
  writeFileSync(join(bin, 'nft'), script);
  chmodSync(join(bin, 'nft'), 0o755);
  const daemon = await startDaemon(t, { ...SIMULATOR, PATH: `${bin}:${process.env['PATH']}` });
  // After the daemon's own end, which needs it.
  t.after(() => rmSync(bin, { recursive: true }));
  return {
    daemon,
    // Elements of sets are changed without the program, which writes the table again where it is not there.
    breakIt: () => {
      writeFileSync(broken, '');
      const [tap = ''] = daemon.taps();
      execFileSync(real, ['delete', 'table', 'bridge', `volant_${hostTagOf(tap)}`]);
    },
    mendIt: () => rmSync(broken),
  };
}

/** A home on a small file system of its own, which a test can fill. */
async function onSmallDisk(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'volant-small-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'volant-test', directory]);
  const filler = join(directory, 'filler');
  mkdirSync(join(directory, 'home'));
  symlinkSync(IMAGES, join(directory, 'home', 'images'));
  const daemon = await startDaemon(t, {
    ...SIMULATOR,
    VOLANT_HOME: join(directory, 'home'),
    VOLANT_ISOLATION: 'off',
  });
  // After the daemon's own end, which needs it.
  t.after(() => {
    execFileSync('umount', ['-l', directory]);
    rmSync(directory, { recursive: true });
  });
  const fill = () => {
    try {
      execFileSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=64k'], { stdio: 'ignore' });
    } catch {
      // dd says by its status that the disk is full, which is what it was run for.
      assert.ok(existsSync(filler));
    }
  };
  return { daemon, fill, free: () => rmSync(filler) };
}

const statusOf = async (daemon: Daemon, name: string) =>
  (await daemon.call('GET', `/api/v1/vms/${name}`)).body?.status;

test('a stop whose release fails is stopping until it succeeds, and never running again', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const { daemon, breakIt, mendIt } = await withBreakableNft(t);
  const [one, two] = [await daemon.createVm('one'), await daemon.createVm('two')];
  breakIt();
  const stop = await daemon.call('POST', '/api/v1/vms/one/stop');
  const gone = await daemon.call('DELETE', '/api/v1/vms/two');
  for (const { status, text } of [stop, gone]) assert.equal(status, 500, text);
  assert.deepEqual([isAlive(one.pid), isAlive(two.pid)], [false, false]);
  assert.equal(await statusOf(daemon, 'one'), 'stopping');
  assert.equal(await statusOf(daemon, 'two'), 'deleting');
  mendIt();
  await until('one is stopped', async () => (await statusOf(daemon, 'one')) === 'stopped');
  await until('two is gone', async () => (await statusOf(daemon, 'two')) === undefined);
  assert.deepEqual(daemon.taps(), []);
  assert.equal((await daemon.call('POST', '/api/v1/vms/one/start')).status, 200);
});

test('an end that could not be stored is stored when there is space; a replica is replaced', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const { daemon, fill, free } = await onSmallDisk(t);
  const vm = await daemon.createVm('alone');
  const made = await daemon.call('POST', '/api/v1/deployments', {
    name: 'web',
    replicas: 1,
    config: { plugin: 'hello' },
  });
  assert.equal(made.status, 201, made.text);
  const replica = await daemon.getVm('web-1');
  fill();
  for (const one of [vm, replica]) signalVm(one, 'SIGKILL');
  await pause(1_000);
  free();
  await until('it is crashed', async () => (await statusOf(daemon, 'alone')) === 'crashed');
  await until('the replica is replaced', async () => {
    const { body } = await daemon.call('GET', '/api/v1/vms/web-1');
    return body?.status === 'running' && body.pid !== replica.pid;
  });
});

test('creates on a disk that fills up are done or undone, and none stays on its way', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const { daemon, fill, free } = await onSmallDisk(t);
  await daemon.createVm('before');
  const names = Array.from({ length: 20 }, (_, index) => `vm-${index}`);
  const creates = names.map((name) =>
    daemon.call('POST', '/api/v1/vms', { name, plugin: 'hello' }).then(({ status }) => status),
  );
  fill();
  const statuses = await Promise.all(creates);
  free();
  await until('nothing is on its way', async () => {
    const { body } = await daemon.call('GET', '/api/v1/vms?status=starting,stopping,deleting');
    return body.length === 0;
  });
  for (const [index, status] of statuses.entries()) {
    const vm = await daemon.call('GET', `/api/v1/vms/vm-${index}`);
    if (status === 201) assert.equal(vm.body.status, 'running');
    else assert.equal(vm.status, 404, vm.text);
  }
  const { body: left } = await daemon.call('GET', '/api/v1/vms');
  assert.equal(daemon.taps().length, left.length);
});

/** Less than a hypervisor has to answer, and than a deployment waits for its replicas; more than a busy host needs. */
const HELD_UP_MS = 20_000;

test('one frozen hypervisor holds up nobody else when the daemon starts', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const frozen = await daemon.createVm('frozen');
  const config = { plugin: 'hello' };
  const body = { name: 'web', replicas: 2, config };
  const made = await daemon.call('POST', '/api/v1/deployments?wait=ready', body);
  assert.equal(made.status, 201, made.text);
  const replica = await daemon.getVm('web-1');
  await daemon.kill('SIGKILL');
  signalVm(frozen, 'SIGSTOP');
  signalVm(replica, 'SIGKILL');
  await daemon.start();
  const recoveryMs = Number(/"durationMs":(\d+)/.exec(daemon.log())?.[1]);
  assert.ok(recoveryMs < HELD_UP_MS, `recovery took ${recoveryMs} ms`);
  const askedAtMs = performance.now();
  const patched = await daemon.call('PATCH', '/api/v1/deployments/web', { replicas: 3 });
  assert.deepEqual([patched.status, patched.body.ready_replicas], [200, 3], patched.text);
  assert.ok(performance.now() - askedAtMs < HELD_UP_MS, 'nor does the deployment wait');
  signalVm(frozen, 'SIGCONT');
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/frozen')).status, 204);
});

test('a restart that a kill cuts off ends with a VM that runs', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const names = Array.from({ length: 12 }, (_, index) => `vm-${index}`);
  for (const name of names) await daemon.createVm(name);
  for (let round = 0; round < 4; round += 1) {
    const restarts = names.map((name) => daemon.call('POST', `/api/v1/vms/${name}/restart`));
    const settled = Promise.allSettled(restarts);
    await pause(10 + round * 40);
    await daemon.kill('SIGKILL');
    await settled;
    await daemon.start();
    for (const name of names) {
      const { pid } = await daemon.waitFor(name, 'running');
      assert.ok(isAlive(pid), name);
    }
  }
  assert.equal(daemon.taps().length, names.length);
});

test('a process that names a run directory is not taken for a hypervisor', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const vm = await daemon.createVm('one');
  const run = join(daemon.home, 'run', String(vm.id));
  const next = join(daemon.home, 'run', String(vm.id + 1));
  const pidFile = join(run, 'hypervisor.pid');
  const logsIn = (directory: string) =>
    ['console.log', 'hypervisor.log'].map((name) => join(directory, name));
  const stranger = (argv: readonly string[], cwd: string) =>
    spawn(argv[0] ?? '', argv.slice(1), { cwd, stdio: 'ignore', detached: true });
  const strangers = [
    stranger(['tail', '-f', ...logsIn(run)], run),
    // With the very option, but elsewhere.
    stranger(['sh', '-c', 'sleep 100', 'sh', '--pid-file', pidFile], '/'),
    stranger(['tail', '-F', ...logsIn(next)], '/'),
  ];
  t.after(() => strangers.forEach(({ pid }) => void process.kill(-(pid ?? 0), 'SIGKILL')));
  await Promise.all(strangers.map((child) => once(child, 'spawn')));
  assert.equal((await daemon.call('POST', '/api/v1/vms/one/stop')).status, 200);
  await daemon.killAndRestart();
  assert.equal(await statusOf(daemon, 'one'), 'stopped');
  const creating = daemon.call('POST', '/api/v1/vms', { name: 'two', plugin: 'hello' });
  const settled = creating.catch(() => undefined);
  await pause(5);
  await daemon.killAndRestart();
  await settled;
  const two = await daemon.call('GET', '/api/v1/vms/two');
  if (two.status === 200) await daemon.waitFor('two', 'running');
  for (const child of strangers) assert.ok(isAlive(child.pid), child.spawnargs.join(' '));
});
