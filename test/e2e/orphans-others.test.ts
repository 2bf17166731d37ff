// e2e: what is rebuilt in addition to the VMs when the records are lost: their plugins, their deployments, and their
// devices.

import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { untilPasses } from '../helpers/until.ts';
import { type Daemon, signalVm, startDaemon } from './daemon.ts';
import { FakeSysfs, VFIO_DRIVER } from './fake-sysfs.ts';
import { comeToRest } from './story.ts';

const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };
const DEVICE = '0000:01:00.0';

const rest = (daemon: Daemon, method: string, path: string, body?: unknown) =>
  daemon.call(method, `/api/v1/${path}`, body);

async function loseRecords(daemon: Daemon): Promise<void> {
  await areDescribed(daemon);
  await daemon.kill('SIGKILL');
  rmSync(join(daemon.home, 'state'), { recursive: true });
}

/** Each VM that runs, as it is now: that is written some seconds after a launch. */
async function areDescribed(daemon: Daemon): Promise<void> {
  const { body: vms } = await rest(daemon, 'GET', 'vms?status=running');
  for (const { id } of vms) {
    const path = join(daemon.home, `run/${id}/vm.json`);
    for (let waitedMs = 0; !existsSync(path); waitedMs += 50) {
      assert.ok(waitedMs < 20_000, `VM ${id} was not described`);
      await pause(50);
    }
  }
}

async function adopt(daemon: Daemon): Promise<void> {
  await daemon.start({}, ['--adopt-orphans']);
  await comeToRest(daemon);
}

/** A plugin of one's own under the name of a built-in one, and another that no VM has. */
async function installPlugins(daemon: Daemon): Promise<void> {
  const { body: hello } = await rest(daemon, 'GET', 'plugins/hello');
  for (const more of [{ version: '7.0.0' }, { name: 'own' }, { name: 'unused' }, { name: 'off' }]) {
    const answer = await rest(daemon, 'POST', 'plugins', { ...hello, ...more });
    assert.equal(answer.status, 201, answer.text);
  }
}

test('plugins are as they were when a VM of theirs was launched last', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  await installPlugins(daemon);
  const { body: own } = await rest(daemon, 'GET', 'plugins/own');
  await daemon.createVm('plain');
  await daemon.createVm('mine', { plugin: 'own' });
  // A manifest of the VM is not the one of its plugin.
  const manifest = { ...own, workload: { ...own.workload, entrypoint: ['/bin/other'] } };
  await daemon.createVm('other', { plugin: 'own', config: { manifest } });
  await daemon.createVm('last', { plugin: 'off' });
  await daemon.createVm('gone', { plugin: 'unused' });
  const off = await rest(daemon, 'POST', 'plugins/off/enabled', { enabled: false });
  assert.equal(off.status, 200, off.text);
  await rest(daemon, 'POST', 'vms/last/restart');
  await rest(daemon, 'DELETE', 'plugins/unused');
  await rest(daemon, 'POST', 'vms/gone/restart');
  await loseRecords(daemon);
  await adopt(daemon);
  assert.deepEqual((await rest(daemon, 'GET', 'plugins')).body, {
    plugins: ['hello', 'off', 'own'],
  });
  assert.equal((await rest(daemon, 'GET', 'plugins/hello')).body.version, '7.0.0');
  assert.deepEqual((await rest(daemon, 'GET', 'plugins/own')).body, own);
  const disabled = await rest(daemon, 'POST', 'vms', { name: 'no', plugin: 'off' });
  assert.equal(disabled.body.code, 'PLUGIN_DISABLED');
  const config = await rest(daemon, 'GET', 'vms/other/config');
  assert.deepEqual(config.body.config.manifest.workload.entrypoint, ['/bin/other']);
  await daemon.createVm('next', { plugin: 'own' });
});

test('a deployment has the replicas that were found, and waits for a word', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const expose = [{ port: 80, host_port: 18500 }];
  const asked = { name: 'web', replicas: 4, config: { plugin: 'hello', expose } };
  const made = await rest(daemon, 'POST', 'deployments?wait=running', asked);
  assert.equal(made.status, 201, made.text);
  const pids = new Map<string, number | undefined>();
  for (const name of made.body.replicas) pids.set(name, (await daemon.getVm(name)).pid);
  const { id: second } = await daemon.getVm('web-2');
  await areDescribed(daemon);
  await daemon.kill('SIGKILL');
  // One is gone with its host's files; one has ended.
  process.kill(pids.get('web-2') ?? 0, 'SIGKILL');
  process.kill(pids.get('web-3') ?? 0, 'SIGKILL');
  await pause(50);
  rmSync(join(daemon.home, `run/${second}`), { recursive: true });
  rmSync(join(daemon.home, 'state'), { recursive: true });
  await adopt(daemon);

  const isRebuilt = async () => {
    const { body } = await rest(daemon, 'GET', 'deployments/web');
    assert.deepEqual([body.desired_replicas, body.revision, body.config], [3, 1, made.body.config]);
    assert.deepEqual(body.replicas.toSorted(), ['web-1', 'web-3', 'web-4']);
    const said = body.conditions.find(({ type }: { type: string }) => type === 'Degraded');
    assert.deepEqual([said?.status, said?.reason], [true, 'Rebuilt']);
    assert.match(said.message, /set the number of replicas, or delete it/);
    const vm = await daemon.getVm('web-3');
    assert.deepEqual(
      [vm.status, (await daemon.getVm('web-1')).pid],
      ['stopped', pids.get('web-1')],
    );
  };
  await untilPasses(isRebuilt);
  await daemon.killAndRestart();
  await comeToRest(daemon);
  await pause(500);
  // Conditions follow when the deployments were looked at.
  await untilPasses(isRebuilt);
  // The word: what runs is kept, what is missing comes.
  const patched = await rest(daemon, 'PATCH', 'deployments/web?wait=running', { replicas: 4 });
  assert.equal(patched.status, 200, patched.text);
  assert.deepEqual(patched.body.replicas.toSorted(), ['web-1', 'web-2', 'web-3', 'web-4']);
  for (const name of ['web-1', 'web-4']) {
    assert.equal((await daemon.getVm(name)).pid, pids.get(name));
  }
  assert.equal((await rest(daemon, 'DELETE', 'deployments/web')).status, 204);
  assert.deepEqual(daemon.taps(), []);
});

test('a deployment that the records know gets no replica more, and none is ended', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const asked = { name: 'web', replicas: 1, config: { plugin: 'hello' } };
  await rest(daemon, 'POST', 'deployments?wait=running', asked);
  await daemon.terminate();
  const [state, backup] = [join(daemon.home, 'state'), join(daemon.home, 'backup')];
  cpSync(state, backup, { recursive: true });
  await daemon.start();
  await rest(daemon, 'PATCH', 'deployments/web?wait=running', { replicas: 2 });
  const second = await daemon.getVm('web-2');
  await loseRecords(daemon);
  cpSync(backup, state, { recursive: true });
  await adopt(daemon);
  const { body } = await rest(daemon, 'GET', 'deployments/web');
  assert.deepEqual([body.desired_replicas, body.replicas], [1, ['web-1']]);
  await pause(300);
  assert.equal((await daemon.getVm('web-2')).pid, second.pid);
});

/** A VM with a device, under a kernel that obeys. */
async function withDevice(t: TestContext) {
  const sysfs = new FakeSysfs(t, ['host']);
  sysfs.addDevice(DEVICE, '7', 'host');
  const daemon = await startDaemon(t, { ...SIMULATOR, VOLANT_SYSFS_ROOT: sysfs.root });
  const devices = { pci_passthrough: [DEVICE] };
  const vm = await daemon.createVm('holder', { config: { devices } });
  assert.equal(sysfs.driverOf(DEVICE), VFIO_DRIVER);
  return { sysfs, daemon, devices, vm };
}

test('a device that a living hypervisor holds is its VM’s, and goes back to its driver', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const { sysfs, daemon, devices, vm } = await withDevice(t);
  await areDescribed(daemon);
  const described = JSON.parse(readFileSync(join(daemon.home, 'run/1/vm.json'), 'utf8'));
  assert.deepEqual(
    described.devices.map(({ address }: { address: string }) => address),
    [DEVICE],
  );
  await loseRecords(daemon);
  await adopt(daemon);
  assert.equal((await daemon.getVm('holder')).pid, vm.pid);
  const thief = { name: 'thief', plugin: 'hello', config: { devices } };
  assert.equal((await rest(daemon, 'POST', 'vms', thief)).body.code, 'DEVICE_OWNED');
  const unbind = { pci_addresses: [DEVICE] };
  const taken = await rest(daemon, 'POST', 'vfio/devices/unbind', unbind);
  assert.equal(taken.body.code, 'DEVICE_OWNED');
  assert.equal((await rest(daemon, 'DELETE', 'vms/holder')).status, 204);
  assert.equal(sysfs.driverOf(DEVICE), 'host');
});

test('a device of a VM that has ended is left as it is', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const { sysfs, daemon, vm } = await withDevice(t);
  await areDescribed(daemon);
  await daemon.kill('SIGKILL');
  signalVm(vm, 'SIGKILL');
  rmSync(join(daemon.home, 'state'), { recursive: true });
  await adopt(daemon);
  assert.equal((await daemon.getVm('holder')).status, 'stopped');
  assert.equal(sysfs.driverOf(DEVICE), VFIO_DRIVER);
  // Whoever wants it has it, or gives it back.
  assert.equal((await rest(daemon, 'POST', 'vms/holder/start')).status, 200);
});
