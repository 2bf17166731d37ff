// e2e: a backup under load is one moment of the records. A restore brings that moment back, and running VMs are adopted.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { RUN_FILES } from '../../src/engine/ports/hypervisor-ports.ts';
import type { Vm } from '../../src/schema/vm.ts';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { until } from '../helpers/until.ts';
import { type Daemon, startDaemon } from './daemon.ts';

const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-backup-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function run(program: string, args: readonly string[], settings: Record<string, string>) {
  const env = { PATH: process.env['PATH'] ?? '', ...settings };
  const options = { env, encoding: 'utf8', timeout: 60_000 } as const;
  return spawnSync(process.execPath, [join(PROJECT_ROOT, 'dist', program), ...args], options);
}

const restore = (daemon: Daemon, file: string) =>
  run('main.js', ['--restore', file], { VOLANT_HOME: daemon.home });

async function saved(daemon: Daemon, file: string): Promise<void> {
  const response = await fetch(`${daemon.url}/api/v1/system/backup`);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'application/octet-stream');
  const bytes = Buffer.from(await response.arrayBuffer());
  assert.equal(bytes.length, Number(response.headers.get('content-length')));
  writeFileSync(file, bytes);
}

/** A VM that the backup does not know is adopted by its description, which is written some seconds after its launch. */
async function untilDescribed(daemon: Daemon, ids: readonly number[]): Promise<void> {
  const isDescribed = (id: number) =>
    existsSync(join(daemon.home, 'run', String(id), RUN_FILES.description));
  await until('every VM has its description', () => ids.every(isDescribed));
}

const listOf = async (daemon: Daemon): Promise<readonly Vm[]> =>
  (await daemon.call('GET', '/api/v1/vms')).body;

suite('backup and restore', () => {
  test('a backup under load is one moment, and can be restored after a kill', async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun')) return;
    const daemon = await startDaemon(t, SIMULATOR);
    const file = join(temporary(t), 'backup');
    await Promise.all(Array.from({ length: 10 }, (_, index) => daemon.createVm(`early-${index}`)));
    const creates = Array.from({ length: 30 }, (_, index) => daemon.createVm(`later-${index}`));
    await creates[0];
    const answeredBefore = await listOf(daemon);
    const first = saved(daemon, file);
    await Promise.all([first, ...creates]);
    const everything = await listOf(daemon);
    assert.equal(everything.length, 40);
    assert.equal(readdirSync(join(daemon.home, 'state')).includes('backup.tmp'), false);

    // What is gone from the host since then is not there any more; what runs is adopted, known to the backup or not.
    await daemon.call('DELETE', '/api/v1/vms/early-9');
    await daemon.call('POST', '/api/v1/vms/early-8/restart');
    const moved = await daemon.waitFor('early-8', 'running');
    const running = (await listOf(daemon)).filter(({ status }) => status === 'running');
    await untilDescribed(
      daemon,
      running.map(({ id }) => id),
    );
    await daemon.kill('SIGKILL');
    const done = restore(daemon, file);
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.stdout, /are those of .*backup, with \d+ VMs/);
    assert.match(done.stdout, /Those that were there are in .*state\.replaced\./);
    await daemon.start();
    // Recovery waits for slow VMs only for a while.
    await daemon.waitFor('early-9', 'crashed');
    const after = new Map((await listOf(daemon)).map((vm) => [vm.name, vm]));
    for (const vm of running) {
      const { id, pid, ip_address, status } = after.get(vm.name) as Vm;
      assert.deepEqual([id, pid, ip_address, status], [vm.id, vm.pid, vm.ip_address, 'running']);
    }
    assert.equal(after.get('early-8')?.pid, moved.pid);
    assert.equal(after.get('early-9')?.status, 'crashed');
    assert.ok(answeredBefore.every(({ name }) => after.has(name)));
    assert.ok((await daemon.createVm('next')).id > 40);
    for (const name of [...after.keys(), 'next']) {
      assert.equal((await daemon.call('DELETE', `/api/v1/vms/${name}`)).status, 204);
    }
    assert.deepEqual([daemon.taps(), daemon.runDirectories()], [[], []]);
  });

  test('volar backup saves it, and a new home takes it', async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun')) return;
    const daemon = await startDaemon(t, SIMULATOR);
    await daemon.createVm('web', { config: { metadata: { a: 'b' } } });
    const file = join(temporary(t), 'backup');
    const cli = { VOLANT_API_BASE: daemon.url };
    const first = run('cli/main.js', ['backup', file], cli);
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.stdout, new RegExp(`${statSync(file).size} bytes`));
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(run('cli/main.js', ['backup', file], cli).status, 2);

    const other = await startDaemon(t, { ...SIMULATOR, VOLANT_BRIDGE: 'vbr-other' });
    assert.match(restore(other, file).stderr, /pid \d+ serves/);
    await other.createVm('stranger');
    await other.terminate();
    const refused = restore(other, file);
    assert.deepEqual([refused.status, /VMs of another home run/.test(refused.stderr)], [2, true]);
    await other.start();
    await other.call('DELETE', '/api/v1/vms/stranger');
    await other.terminate();
    assert.equal(restore(other, file).status, 0);
    await other.start();
    await other.waitFor('web', 'crashed');
    assert.deepEqual(
      (await listOf(other)).map(({ name, status }) => [name, status]),
      [['web', 'crashed']],
    );
    assert.equal((await daemon.getVm('web')).status, 'running');
    assert.notEqual(
      (await daemon.getVm('web')).mac_address,
      (await other.getVm('web')).mac_address,
    );
  });

  test('what is no backup changes nothing', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const daemon = await startDaemon(t, SIMULATOR);
    const directory = temporary(t);
    const [whole, half, none] = ['whole', 'half', 'none'].map((name) => join(directory, name));
    await saved(daemon, whole as string);
    await daemon.terminate();
    const bytes = readFileSync(whole as string);
    writeFileSync(half as string, bytes.subarray(0, Math.floor(bytes.length / 2)));
    writeFileSync(none as string, 'no database\n'.repeat(2_000));
    const before = readFileSync(join(daemon.home, 'state/volant.lmdb'));
    for (const file of [half, none, join(directory, 'absent')] as string[]) {
      const { status, stderr } = restore(daemon, file);
      assert.equal(status, 2, stderr);
      assert.match(stderr, /^volantd cannot restore: [^\n]+\n$/);
    }
    assert.deepEqual(readFileSync(join(daemon.home, 'state/volant.lmdb')), before);
    assert.deepEqual(
      readdirSync(daemon.home).filter((name) => name.startsWith('state')),
      ['state'],
    );
    await daemon.start();
  });

  test('one at a time; a client that goes away makes room for the next', async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun')) return;
    const daemon = await startDaemon(t, SIMULATOR);
    // More than what the sockets between us hold.
    for (let index = 0; index < 20; index += 1) {
      await daemon.createVm(`big-${index}`, {
        config: { metadata: { blob: 'x'.repeat(900_000) } },
      });
    }
    const { hostname, port } = new URL(daemon.url);
    const slow = connect(Number(port), hostname);
    slow.write(`GET /api/v1/system/backup HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
    await new Promise((resolve) => slow.once('readable', resolve));
    const second = await daemon.call('GET', '/api/v1/system/backup');
    assert.deepEqual(
      [second.status, second.body?.code],
      [503, 'OVERLOADED'],
      `${second.text.length}`,
    );
    assert.equal(second.headers.get('retry-after'), '5');
    slow.destroy();
    const deadline = Date.now() + 10_000;
    let status = 503;
    while (status === 503 && Date.now() < deadline) {
      const response = await fetch(`${daemon.url}/api/v1/system/backup`);
      status = response.status;
      await response.arrayBuffer();
    }
    assert.equal(status, 200);
    assert.equal(
      (await fetch(`${daemon.url}/api/v1/system/backup`, { method: 'HEAD' })).status,
      200,
    );
  });
});
