// e2e: a daemon that isolates its hypervisors starts: on a host without support, in a chroot, and after a daemon that did
// not isolate.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';

const MIB = 1024 ** 2;
const START_TIMEOUT_MS = 60_000;
const DAEMON = [process.execPath, join(PROJECT_ROOT, 'dist/main.js')] as const;
const SYSTEM = new Set(['dev', 'proc', 'sys', 'run', 'tmp', 'lost+found']);

function newHome(t: TestContext): string {
  const home = mkdtempSync(join(tmpdir(), 'volant-e2e-'));
  t.after(() => rmSync(home, { recursive: true }));
  return home;
}

const uidOf = (pid: number | undefined) =>
  Number(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

test('isolation that cannot be had ends the start with what is missing', (t) => {
  if (!requireCapability(t, 'root', 'unshare')) return;
  const settings = ['VOLANT_API_LISTEN=127.0.0.1:0', `VOLANT_HOME=${newHome(t)}`];
  const without = ['--bounding-set', '-mknod,-setpcap', '--inh-caps', '-mknod,-setpcap'];
  const { status, stderr } = spawnSync('env', [...settings, 'setpriv', ...without, ...DAEMON], {
    encoding: 'utf8',
    timeout: START_TIMEOUT_MS,
  });
  assert.equal(status, 2, stderr);
  assert.match(stderr, /^VOLANT_ISOLATION: .*lacks CAP_SETPCAP, CAP_MKNOD.*VOLANT_ISOLATION=off/);
});

test('a home where hypervisors would not see their own files is refused', (t) => {
  if (!requireCapability(t, 'root')) return;
  const home = mkdtempSync('/usr/local/volant-e2e-');
  t.after(() => rmSync(home, { recursive: true }));
  const settings = ['VOLANT_API_LISTEN=127.0.0.1:0', `VOLANT_HOME=${home}`];
  const { status, stderr } = spawnSync('env', [...settings, ...DAEMON], {
    encoding: 'utf8',
    timeout: START_TIMEOUT_MS,
  });
  assert.equal(status, 2, stderr);
  const lines = stderr.trim().split('\n');
  assert.equal(lines.length, 3, stderr);
  for (const line of lines) assert.match(line, /^VOLANT_ISOLATION: .* choose another VOLANT_HOME$/);
});

test('in a chroot, whose root is no mount, hypervisors are isolated, too', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel', 'unshare')) return;
  const root = newHome(t);
  const binds = readdirSync('/', { withFileTypes: true }).flatMap((entry) => {
    const path = join(root, entry.name);
    if (entry.isSymbolicLink()) symlinkSync(readlinkSync(join('/', entry.name)), path);
    if (!entry.isDirectory()) return [];
    mkdirSync(path);
    const isBare = SYSTEM.has(entry.name) && !['dev', 'proc', 'sys'].includes(entry.name);
    if (!isBare) return [`mount --rbind /${entry.name} ${path}`];
    // A checkout may lie in one of those that stay empty.
    if (!PROJECT_ROOT.startsWith(`/${entry.name}/`)) return [];
    const checkout = join(root, PROJECT_ROOT);
    return [`mkdir -p ${checkout}`, `mount --rbind ${PROJECT_ROOT} ${checkout}`];
  });
  // The mounts go with the mount namespace, and that with the daemon.
  const script = [...binds, `exec chroot ${root} env HOME=/tmp ${DAEMON.join(' ')}`].join(' && ');
  const child = spawn('unshare', ['--mount', 'sh', '-c', script], {
    env: { PATH: process.env['PATH'], VOLANT_HOME: '/tmp/home', VOLANT_API_LISTEN: '127.0.0.1:0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  let log = '';
  const served = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        log += chunk;
        if (log.includes('recovery done')) resolve();
      });
    }
  });
  const late = AbortSignal.timeout(START_TIMEOUT_MS);
  await Promise.race([served, ended, once(late, 'abort')]);
  assert.match(log, /recovery done/);
  child.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null], log);
});

test('a VM that runs as root is taken over, and is a user of its own from its next start on', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t, { VOLANT_ISOLATION: 'off' });
  const image = join(daemon.home, 'images', 'data.img');
  writeFileSync(image, Buffer.alloc(MIB), { mode: 0o644 });
  const { body: manifest } = await daemon.call('GET', '/api/v1/plugins/hello');
  const config = { manifest: { ...manifest, disks: [{ name: 'data', source: image }] } };
  const made = await daemon.createVm('a', { config });
  const overlay = join(daemon.home, 'disks', String(made.id), 'data.qcow2');
  assert.deepEqual([uidOf(made.pid), statSync(overlay).uid], [0, 0]);

  await daemon.kill('SIGKILL');
  await daemon.start({ VOLANT_ISOLATION: 'full' });
  const adopted = await daemon.getVm('a');
  assert.deepEqual([adopted.status, adopted.pid], ['running', made.pid]);
  assert.equal((await daemon.call('POST', '/api/v1/vms/a/restart')).status, 200);
  const uid = uidOf((await daemon.getVm('a')).pid);
  assert.ok(uid >= 100_000, String(uid));
  assert.equal(statSync(overlay).uid, uid);

  await daemon.kill('SIGKILL');
  await daemon.start({ VOLANT_ISOLATION: 'off' });
  assert.equal((await daemon.call('POST', '/api/v1/vms/a/restart')).status, 200);
  assert.equal(uidOf((await daemon.getVm('a')).pid), 0, 'and back');
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/a')).status, 204);
  assert.equal(existsSync(overlay), false);
});
