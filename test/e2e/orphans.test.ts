// e2e: lost, damaged or copied records do not cost running VMs: the daemon reports the problem before it changes anything,
// and makes new records on request.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Vm } from '../../src/schema/vm.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, isAlive, startDaemon } from './daemon.ts';

const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };

/** A start that says what is in the way, and ends with status 2. */
async function refusalOf(daemon: Daemon, settings: Record<string, string> = {}): Promise<string> {
  await assert.rejects(daemon.start(settings), /did not start/);
  assert.match(daemon.log(), /^volantd cannot start: [^\n]+\n$/);
  return daemon.log();
}

const essence = ({ id, name, status, pid, ip_address, mac_address, kernel_cmdline }: Vm) => ({
  id,
  name,
  status,
  pid,
  ip_address,
  mac_address,
  kernel_cmdline,
});

async function threeVms(daemon: Daemon): Promise<readonly Vm[]> {
  const vms = [];
  for (const name of ['web', 'db', 'idle']) {
    vms.push(await daemon.createVm(name, { config: { metadata: { role: name } } }));
  }
  await daemon.call('POST', '/api/v1/vms/idle/stop');
  const all = [vms[0] as Vm, vms[1] as Vm, await daemon.waitFor('idle', 'stopped')];
  await areDescribed(daemon, all);
  return all;
}

/** They are so some seconds after their launch. */
async function areDescribed(daemon: Daemon, vms: readonly Vm[]): Promise<void> {
  const isMissing = ({ id }: Vm) => !existsSync(join(daemon.home, `run/${id}/vm.json`));
  for (let waitedMs = 0; vms.some(isMissing); waitedMs += 100) {
    assert.ok(waitedMs < 20_000, 'VMs were not described');
    await pause(100);
  }
}

async function isAsBefore(daemon: Daemon, before: readonly Vm[]): Promise<void> {
  for (const vm of before) {
    // One that is stored as stopped is released first.
    assert.deepEqual(essence(await daemon.waitFor(vm.name, vm.status)), essence(vm));
    const config = await daemon.call('GET', `/api/v1/vms/${vm.name}/config`);
    assert.equal(config.body.config.metadata.role, vm.name, config.text);
  }
}

suite('records that do not fit to the host', () => {
  test('lost records: refused beside living hypervisors, rebuilt where it is asked for', async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun')) return;
    const daemon = await startDaemon(t, SIMULATOR);
    const before = await threeVms(daemon);
    await daemon.kill('SIGKILL');
    renameSync(join(daemon.home, 'state'), join(daemon.home, 'state-lost'));
    assert.match(await refusalOf(daemon), /no records in .*--restore FILE.*--adopt-orphans/);
    // The same without the note, as an older daemon leaves it.
    rmSync(join(daemon.home, 'run/home.json'));
    assert.match(await refusalOf(daemon), /do not know all VMs: hypervisors run in .* \(VM 1, 2\)/);
    assert.ok(before.every(({ pid }) => pid === undefined || isAlive(pid)));

    await daemon.start({}, ['--adopt-orphans']);
    await isAsBefore(daemon, before);
    assert.equal((await daemon.createVm('next')).id, 4);
    assert.equal((await daemon.call('POST', '/api/v1/vms/idle/start')).status, 200);
    // From now on it is a home like any other.
    await daemon.killAndRestart();
    assert.equal((await daemon.getVm('web')).pid, before[0]?.pid);
    for (const name of ['web', 'db', 'idle', 'next']) {
      assert.equal((await daemon.call('DELETE', `/api/v1/vms/${name}`)).status, 204);
    }
    assert.deepEqual([daemon.taps(), daemon.runDirectories()], [[], []]);
  });

  test('damaged records are moved away when VMs are adopted', async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun')) return;
    const daemon = await startDaemon(t, SIMULATOR);
    const before = await threeVms(daemon);
    await daemon.kill('SIGKILL');
    const file = join(daemon.home, 'state/volant.lmdb');
    truncateSync(file, Math.floor(statSync(file).size / 2));
    assert.match(await refusalOf(daemon), /are damaged .*--restore FILE.*--adopt-orphans/);
    await daemon.start({}, ['--adopt-orphans']);
    await isAsBefore(daemon, before);
    assert.equal(
      readdirSync(daemon.home).filter((name) => /^state\.damaged\./.test(name)).length,
      1,
    );
    await daemon.kill('SIGKILL');
    truncateSync(file, 0);
    assert.match(await refusalOf(daemon), /no records in/);
    await daemon.start({}, ['--adopt-orphans']);
    await isAsBefore(daemon, before);
  });

  test('records of before a VM was made: it is not run over, and disks without a VM are kept', async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun')) return;
    const daemon = await startDaemon(t, SIMULATOR);
    const old = await daemon.createVm('old');
    await daemon.terminate();
    cpSync(join(daemon.home, 'state'), join(daemon.home, 'backup'), { recursive: true });
    await daemon.start();
    await daemon.call('POST', '/api/v1/vms/old/restart');
    const restarted = await daemon.waitFor('old', 'running');
    assert.notEqual(restarted.pid, old.pid);
    const young = await daemon.createVm('young');
    await daemon.createVm('lost');
    await daemon.call('POST', '/api/v1/vms/lost/stop');
    await daemon.terminate();
    rmSync(join(daemon.home, 'run/3'), { recursive: true });
    mkdirSync(join(daemon.home, 'disks/3'));
    writeFileSync(join(daemon.home, 'disks/3/data.qcow2'), 'what a guest wrote');
    rmSync(join(daemon.home, 'state'), { recursive: true });
    renameSync(join(daemon.home, 'backup'), join(daemon.home, 'state'));
    const said = await refusalOf(daemon);
    assert.match(said, /hypervisors run in .*run \(VM 2\), disks are in .*disks \(VM 3\)/);
    await daemon.start({}, ['--adopt-orphans']);
    assert.deepEqual(essence(await daemon.getVm('young')), essence(young));
    assert.equal((await daemon.getVm('old')).pid, restarted.pid);
    const disks = readdirSync(join(daemon.home, 'disks'));
    const [aside = ''] = disks.filter((name) => name.startsWith('orphaned-3-'));
    assert.deepEqual(readdirSync(join(daemon.home, 'disks', aside)), ['data.qcow2']);
    assert.equal((await daemon.createVm('next')).id, 4);
  });

  test('a copied home leaves the guests of the original alone', async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun')) return;
    const original = await startDaemon(t, SIMULATOR);
    const before = await threeVms(original);
    await original.terminate();
    const copied = copyOf(join(original.home, 'state'));
    await original.start();
    const taps = original.taps();
    const tables = nftTables();

    const copy = await startDaemon(t, { ...SIMULATOR, VOLANT_DB_PATH: copied });
    t.after(() => rmSync(dirname(copied), { recursive: true }));
    for (const { name } of before.slice(0, 2)) {
      const vm = await copy.getVm(name);
      assert.deepEqual([vm.status, vm.pid], ['crashed', undefined]);
    }
    await isAsBefore(original, before);
    assert.ok(before.every(({ pid }) => pid === undefined || isAlive(pid)));
    assert.ok(taps.every((tap) => original.taps().includes(tap)));
    // A VM of the copy has names of its own, and its end is its own.
    await copy.call('POST', '/api/v1/vms/web/start');
    const [ours, theirs] = [await original.getVm('web'), await copy.getVm('web')];
    assert.notEqual(ours.mac_address, theirs.mac_address);
    assert.equal((await copy.call('DELETE', '/api/v1/vms/web')).status, 204);
    assert.equal((await copy.call('DELETE', '/api/v1/vms/db')).status, 204);
    assert.ok(taps.every((tap) => original.taps().includes(tap)));
    assert.ok(tables.every((table) => nftTables().includes(table)));
    await original.killAndRestart();
    await isAsBefore(original, before);
  });

  test('a copy may not share the runtime directory of its original, whichever runs', async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun')) return;
    const original = await startDaemon(t, SIMULATOR);
    const [web] = await threeVms(original);
    const note = readFileSync(join(original.home, 'run/home.json'), 'utf8');
    await original.terminate();
    const copied = copyOf(join(original.home, 'state'));
    t.after(() => rmSync(dirname(copied), { recursive: true }));
    const said = await refusalOf(original, { VOLANT_DB_PATH: copied });
    assert.match(said, /belongs to the records in .*state, of which those in .* are a copy/);
    assert.equal(readFileSync(join(original.home, 'run/home.json'), 'utf8'), note);
    await original.start({ VOLANT_DB_PATH: join(original.home, 'state') });
    assert.equal((await original.getVm('web')).pid, web?.pid);
  });
});

/** Removed by whoever asked, after the last daemon that uses it has ended. */
function copyOf(state: string): string {
  const parent = mkdtempSync(join(tmpdir(), 'volant-copy-'));
  cpSync(state, join(parent, 'state'), { recursive: true });
  return join(parent, 'state');
}

function nftTables(): readonly string[] {
  return execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' }).trim().split('\n');
}
