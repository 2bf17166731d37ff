// e2e: what a guest can do that broke out of its machine. The hypervisor's own monitor plays it: it reads and writes files
// of the host and of other VMs, connects to their sockets, and puts files into its run directory against the daemon.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { connectToSocket } from '../../src/hypervisor/unix-socket.ts';
import type { Vm } from '../../src/schema/vm.ts';
import { IMAGES, requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, startDaemon } from './daemon.ts';

const NEEDED = ['root', 'netns', 'tun', 'qemu', 'kernel'] as const;
const MIB = 1024 ** 2;

function statusOf(pid: number): Map<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n');
  return new Map(
    lines.map((line) => {
      const [name = '', value = ''] = line.split(':\t');
      return [name, value.trim()] as const;
    }),
  );
}

function runDirectoryOf(daemon: Daemon, vm: Vm): string {
  const line = readFileSync(`/proc/${vm.pid}/cmdline`, 'utf8');
  const [, id = ''] = /\/run\/(\d+)\/hypervisor\.pid/.exec(line) ?? [];
  return join(daemon.home, 'run', id);
}

/** Asked of the network namespace that the test runs in; /sys may be that of another one. */
function tapOwners(daemon: Daemon): readonly string[] {
  return daemon.taps().map((name) => {
    const text = execFileSync('ip', ['-d', '-j', 'link', 'show', name], { encoding: 'utf8' });
    return String(JSON.parse(text)[0].linkinfo.info_data.user);
  });
}

const ofFile = (path: string) => statSync(path);

/** Both have a disk of their own on one image. */
async function twoGuests(t: TestContext, settings: Record<string, string> = {}) {
  const daemon = await startDaemon(t, { VOLANT_API_KEY: '', ...settings });
  const image = join(daemon.home, 'images', 'data.img');
  writeFileSync(image, Buffer.alloc(MIB, 'image'), { mode: 0o644 });
  const { body: manifest } = await daemon.call('GET', '/api/v1/plugins/hello');
  const config = { manifest: { ...manifest, disks: [{ name: 'data', source: image }] } };
  const guests = [];
  for (const name of ['attacker', 'victim']) {
    guests.push(await daemon.createVm(name, { memory_mb: 96, config }));
  }
  const [attacker, victim] = guests as [Vm, Vm];
  return { daemon, attacker, victim };
}

/** Asks a hypervisor through a monitor of its own; the daemon has the first one. */
async function monitorOf(t: TestContext, daemon: Daemon, vm: Vm) {
  const directory = runDirectoryOf(daemon, vm);
  // One client at a time: the daemon's goes, and returns when it is started again.
  await daemon.kill('SIGKILL');
  const socket = connect(join(directory, 'control.sock'));
  t.after(() => socket.destroy());
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  let next = 1;
  const ask = async (execute: string, args: object = {}) => {
    const id = next++;
    socket.write(`${JSON.stringify({ execute, arguments: args, id })}\n`);
    for (;;) {
      const line = text.split('\n').find((one) => one.includes(`"id": ${id}`));
      if (line !== undefined) return JSON.parse(line);
      await pause(10);
    }
  };
  await ask('qmp_capabilities');
  return { ask, directory, leave: () => socket.destroy() };
}

test('a hypervisor is a user of its own, without any privilege, in a view of its own', async (t) => {
  if (!requireCapability(t, ...NEEDED)) return;
  const { daemon, attacker, victim } = await twoGuests(t);
  const uids = new Set<string>();
  for (const vm of [attacker, victim]) {
    const pid = vm.pid ?? 0;
    const status = statusOf(pid);
    const [uid = '', ...others] = (status.get('Uid') ?? '').split('\t');
    assert.ok(Number(uid) >= 100_000, uid);
    for (const other of [...others, ...(status.get('Gid') ?? '').split('\t')])
      assert.equal(other, uid);
    assert.equal(status.get('Groups'), '');
    for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      assert.equal(BigInt(`0x${status.get(name)}`), 0n, name);
    assert.equal(status.get('NoNewPrivs'), '1');
    assert.equal(status.get('Seccomp'), '2');
    uids.add(uid);
    const directory = runDirectoryOf(daemon, vm);
    for (const path of [
      directory,
      ...readdirSync(directory).map((name) => join(directory, name)),
    ]) {
      // What a daemon that lost its records will believe is not the hypervisor's, and neither is the socket between them.
      const isDaemons = /\/(home\.id|vm\.json|control\.sock)$/.test(path);
      assert.equal(ofFile(path).uid, isDaemons ? 0 : Number(uid), path);
      assert.equal(ofFile(path).mode & 0o077, 0, path);
    }
    const overlay = join(daemon.home, 'disks', directory.split('/').at(-1) ?? '', 'data.qcow2');
    assert.equal(ofFile(overlay).uid, Number(uid));
    assert.equal(ofFile(overlay).mode & 0o777, 0o600);
    const root = `/proc/${pid}/root`;
    assert.deepEqual(readdirSync(join(root, daemon.home)).sort(), ['disks', 'images', 'run']);
    assert.deepEqual(readdirSync(join(root, daemon.home, 'run')), [directory.split('/').at(-1)]);
    for (const absent of ['/etc/passwd', '/proc/self', '/sys/kernel', '/root', '/dev/net'])
      assert.equal(existsSync(join(root, absent)), false, absent);
    assert.ok(existsSync(join(root, '/usr/bin/qemu-system-x86_64')));
    assert.notEqual(
      readFileSync(`/proc/${pid}/net/dev`, 'utf8').includes('vbr0'),
      true,
      'it sees the network of the host',
    );
    const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
    assert.match(limits, /Max core file size\s+0\s+0/);
  }
  assert.equal(uids.size, 2);
  const owners = tapOwners(daemon);
  assert.deepEqual(new Set(owners), uids);
});

test('what a broken-out guest asks of the kernel is refused', async (t) => {
  if (!requireCapability(t, ...NEEDED)) return;
  const { daemon, attacker, victim } = await twoGuests(t);
  const victimRun = runDirectoryOf(daemon, victim);
  const victimDisk = victimRun.replace('/run/', '/disks/');
  const { ask, directory, leave } = await monitorOf(t, daemon, attacker);
  const readable = [
    '/etc/shadow',
    '/etc/passwd',
    join(daemon.home, 'state', 'data.mdb'),
    join(victimRun, 'console.log'),
    join(victimDisk, 'data.qcow2'),
    join(victimDisk, 'data.base.json'),
    '/proc/self/status',
  ];
  for (const filename of readable) {
    for (const readOnly of [true, false]) {
      const answer = await ask('blockdev-add', {
        driver: 'file',
        'node-name': `n${Math.random().toString(36).slice(2)}`,
        filename,
        'read-only': readOnly,
      });
      assert.ok(answer.error, `${filename} was opened: ${JSON.stringify(answer)}`);
    }
  }
  for (const filename of [
    '/etc/cron.d/evil',
    join(victimRun, 'x'),
    join(daemon.home, 'x'),
    `/tmp/volant-${randomUUID()}`,
    `/usr/volant-${randomUUID()}`,
  ]) {
    const memory = { paging: false, protocol: `file:${filename}`, begin: 0, length: 4096 };
    assert.ok((await ask('dump-guest-memory', memory)).error, filename);
    const saved = await ask('pmemsave', { val: 0, size: 4096, filename });
    assert.ok(saved.error, filename);
    assert.equal(existsSync(filename), false, filename);
  }
  // Its image is everybody's: it may read it and not write to it.
  const image = join(daemon.home, 'images', 'data.img');
  const before = readFileSync(image);
  assert.ok((await ask('pmemsave', { val: 0, size: 4096, filename: image })).error);
  assert.deepEqual(readFileSync(image), before);
  const backend = (data: object, type: string) => ({
    id: `c${Math.random()}`.replace('.', ''),
    backend: { type, data },
  });
  const toSocket = (path: string) =>
    backend({ addr: { type: 'unix', data: { path } }, server: false }, 'socket');
  for (const name of ['control.sock', 'agent.sock', 'serial.sock']) {
    assert.ok((await ask('chardev-add', toSocket(join(victimRun, name)))).error, name);
  }
  const listener = createServer().listen(0, '127.0.0.1');
  t.after(() => listener.close());
  await once(listener, 'listening');
  const port = String((listener.address() as AddressInfo).port);
  const toHost = { addr: { type: 'inet', data: { host: '127.0.0.1', port } }, server: false };
  const reached = await ask('chardev-add', backend(toHost, 'socket'));
  assert.ok(reached.error, 'a listener of the host, as the API is one');
  // The monitor does work: what is its own it can reach.
  const own = await ask('pmemsave', { val: 0, size: 4096, filename: join(directory, 'own') });
  assert.deepEqual(own.return, {}, JSON.stringify(own));
  leave();
});

test('what lies in a run directory does not turn the daemon against its host', async (t) => {
  if (!requireCapability(t, ...NEEDED)) return;
  const { daemon, attacker, victim } = await twoGuests(t);
  const directory = runDirectoryOf(daemon, attacker);
  const secret = join(daemon.home, 'secret');
  writeFileSync(secret, 'secret\n'.repeat(MIB), { mode: 0o600 });
  const log = join(directory, 'console.log');
  const hypervisorLog = join(directory, 'hypervisor.log');
  for (const put of [
    () => symlinkSync(secret, log),
    () => linkSync(secret, log),
    () => execFileSync('mkfifo', [log]),
  ]) {
    rmSync(log, { force: true });
    put();
    const answers = await daemon.call('GET', '/api/v1/vms');
    assert.equal(answers.status, 200);
    // Logs are trimmed every ten seconds.
    await pause(11_000);
    assert.equal(statSync(secret).size, 7 * MIB);
  }
  rmSync(hypervisorLog);
  execFileSync('mkfifo', [hypervisorLog]);
  // A socket of another VM under the name of its own.
  const mine = join(directory, 'serial.sock');
  renameSync(mine, `${mine}.away`);
  symlinkSync(join(runDirectoryOf(daemon, victim), 'serial.sock'), mine);
  assert.ok(lstatSync(mine).isSymbolicLink());
  const refused = await new Promise<NodeJS.ErrnoException>((resolve) => {
    connectToSocket(mine).once('error', resolve);
  });
  assert.match(refused.message, /not a socket/);
  symlinkSync('/etc', join(directory, 'etc'));
  assert.equal((await daemon.call('POST', '/api/v1/vms/attacker/stop')).status, 200);
  assert.equal((await daemon.call('POST', '/api/v1/vms/attacker/start')).status, 200);
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/attacker')).status, 204);
  assert.equal(existsSync(directory), false);
  assert.ok(existsSync('/etc/passwd'));
  assert.equal(statSync(secret).size, 7 * MIB);
});

test('an image that other users cannot read is refused with what to do', async (t) => {
  if (!requireCapability(t, ...NEEDED)) return;
  const daemon = await startDaemon(t);
  const image = join(daemon.home, 'images', 'private.img');
  writeFileSync(image, Buffer.alloc(MIB), { mode: 0o600 });
  const { body: manifest } = await daemon.call('GET', '/api/v1/plugins/hello');
  const config = { manifest: { ...manifest, disks: [{ name: 'data', source: image }] } };
  const { status, text } = await daemon.call('POST', '/api/v1/vms', { name: 'private', config });
  assert.equal(status, 400, text);
  assert.match(text, /chmod o\+r/);
});

test('beside a kernel of its own an initramfs names one file', async (t) => {
  if (!requireCapability(t, ...NEEDED)) return;
  const daemon = await startDaemon(t);
  const initramfs = join(daemon.home, 'images', 'a,b.cpio');
  writeFileSync(initramfs, readFileSync(join(IMAGES, 'hello.cpio')));
  const config = { kernel_override: join(IMAGES, 'vmlinux'), initramfs: { url: initramfs } };
  const body = { name: 'list', plugin: 'hello', config };
  const { status, text } = await daemon.call('POST', '/api/v1/vms', body);
  assert.equal(status, 400, text);
  assert.match(text, /must not have a comma/);
});

test('a socket is connected to only where it is one', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'volant-socket-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'real');
  const server = createServer((socket) => socket.end('hello')).listen(path);
  t.after(() => server.close());
  await once(server, 'listening');
  const [heard] = await once(connectToSocket(path), 'data');
  assert.equal(String(heard), 'hello');
  symlinkSync(path, join(directory, 'link'));
  for (const name of ['link', 'absent']) {
    const socket = connectToSocket(join(directory, name));
    await new Promise((resolve) => socket.once('error', resolve));
  }
});
