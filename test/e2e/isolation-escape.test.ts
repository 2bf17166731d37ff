// e2e: what a guest could do after it broke out, played by a shell in place of a hypervisor. isolation.test.ts tests what
// the hypervisor itself can be made to do.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { native, type SandboxOptions } from '../../src/host/jobs/native.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { isAlive } from './daemon.ts';

const [MINE, OTHERS] = [2_000_000_001, 2_000_000_002];
const DEADLINE_MS = 30_000;

test('a program in the place of a hypervisor gets at nothing that is not its own', async (t) => {
  if (!requireCapability(t, 'root', 'unshare')) return;
  const home = mkdtempSync(join(tmpdir(), 'volant-escape-'));
  t.after(() => rmSync(home, { recursive: true }));
  const [own, others] = [join(home, 'own'), join(home, 'others')];
  for (const [directory, uid] of [
    [own, MINE],
    [others, OTHERS],
  ] as const) {
    mkdirSync(directory, { mode: 0o700 });
    chownSync(directory, uid, uid);
  }
  writeFileSync(join(others, 'secret'), 'secret');
  const image = join(home, 'image');
  writeFileSync(image, 'image');
  chmodSync(image, 0o644);
  const victim = spawn('sleep', ['60'], { uid: OTHERS, gid: OTHERS, stdio: 'ignore' });
  t.after(async () => {
    victim.kill('SIGKILL');
    if (victim.exitCode === null && victim.signalCode === null) await once(victim, 'exit');
  });
  const listener = createServer().listen(0, '127.0.0.1');
  t.after(() => listener.close());
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;

  const refused: Record<string, string> = {
    'the passwords of the host': 'cat /etc/shadow',
    'its names': 'cat /etc/passwd',
    processes: 'ls /proc/self',
    'kernel settings': 'ls /sys/kernel',
    'what the daemon has': `ls ${home}/others`,
    'a secret of another': `cat ${others}/secret`,
    'an image, for writing': `echo x >> ${image}`,
    'the root, for writing': 'mkdir /x',
    'programs, for writing': 'touch /usr/bin/x',
    'a program of its own': `cp /bin/true ${own}/program && ${own}/program`,
    'the tun device': 'test -e /dev/net/tun',
    'KVM that it was not given': 'test -e /dev/kvm',
    'disks of the host': `mknod ${own}/disk b 254 0`,
    'another process': `kill -9 ${victim.pid}`,
    'the daemon': `kill -9 ${process.pid}`,
    'a mount': 'mount -t tmpfs none /dev',
    'a way out of its root': 'chroot / true',
    'a user namespace': 'unshare --user true',
    'another user': `setpriv --reuid ${OTHERS} true`,
    'root by a set-user-ID program': 'su -c true',
    // System calls of x86-64: keyctl(KEYCTL_READ, KEY_SPEC_SESSION_KEYRING) and add_key.
    'keys of a session': `perl -e 'exit(syscall(250, 11, -3, 0, 0) <= 0)'`,
    'keys of a session, for writing': `perl -e '$t = "user"; $n = "volant"; $k = "k"; exit(syscall(248, $t, $n, $k, 1, -3) < 0)'`,
    'the host by TCP': `bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port}'`,
  };
  const allowed: Record<string, string> = {
    'its own files': `echo x > ${own}/file && test -s ${own}/file`,
    'its image': `test "$(cat ${image})" = image`,
    perl: 'perl -e 1',
    'devices without harm': 'head -c 4 /dev/urandom > /dev/null',
  };
  const script = Object.entries({ ...refused, ...allowed })
    .map(([name, command]) => `if (${command}) >/dev/null 2>&1; then echo "can: ${name}"; fi`)
    .concat('echo end')
    .join('\n');
  const logPath = join(own, 'log');
  const sandbox: SandboxOptions = {
    uid: MINE,
    capabilities: [],
    hostNetwork: false,
    readOnly: [image],
    readWrite: [own],
    devices: [],
    tasksMax: 64,
    filesMax: 64,
    lockedBytesMax: 0,
  };
  const { pid, pidfd } = native.launch({
    file: '/bin/sh',
    argv: ['sh', '-c', script],
    env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'],
    cwd: own,
    logPath,
    cgroupProcsPath: null,
    tap: null,
    controlPath: null,
    sandbox,
  });
  t.after(() => native.closeFd(pidfd));
  const deadline = Date.now() + DEADLINE_MS;
  while (isAlive(pid)) {
    assert.ok(Date.now() < deadline, 'the program ends');
    await pause(20);
  }
  const lines = readFileSync(logPath, 'utf8').trim().split('\n');
  assert.deepEqual(lines, [...Object.keys(allowed).map((name) => `can: ${name}`), 'end']);
  assert.ok(isAlive(victim.pid));
});
