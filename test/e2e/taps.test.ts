// e2e: a tap is made by the process that uses it, and by no other. What the daemon's other threads start at that time has
// no copy of its descriptor, so the tap is free as soon as its process has ended.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { native } from '../../src/host/jobs/native.ts';
import { requireCapability } from '../helpers/capabilities.ts';

const BRIDGE = 'vtaps0';
const TAP = 'vtap0';
const OWNER = 4321;
const TAPS = 150;
const FORKING_THREADS = 4;

const FORK_WITHOUT_END = `
  const { spawnSync } = require('node:child_process');
  require('node:worker_threads').parentPort.postMessage('runs');
  for (;;) spawnSync('/bin/true');`;

/** Launches a program on the tap, and returns its exit code after its end. */
function createLauncher(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'volant-taps-'));
  const ends = new Map<number, (code: number | null) => void>();
  native.exitWatchStart((token, code) => ends.get(token)?.(code));
  // The watcher does not keep a process alive by itself.
  const alive = setInterval(() => {}, 1000);
  t.after(() => {
    clearInterval(alive);
    native.exitWatchStop();
    rmSync(directory, { recursive: true });
  });
  return (script: string, bridge = BRIDGE): Promise<number | null> => {
    const { pidfd } = native.launch({
      file: '/bin/sh',
      argv: ['sh', '-c', script],
      env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'],
      cwd: directory,
      logPath: join(directory, 'log'),
      cgroupProcsPath: null,
      tap: { name: TAP, bridge, owner: OWNER },
      controlPath: null,
      sandbox: null,
    });
    const token = ends.size + 1;
    const ended = new Promise<number | null>((resolve) => ends.set(token, resolve));
    native.exitWatchAdd(pidfd, token);
    return ended;
  };
}

test('a tap is open in its process, up, on its bridge, of its owner, and stays until it is deleted', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  native.bridgeEnsure(BRIDGE, '10.99.0.1', 24);
  t.after(() => {
    native.tapsDelete([TAP]);
    native.bridgeDelete(BRIDGE);
  });
  const launch = createLauncher(t);
  const isOpen = `grep -q 'iff:.*${TAP}' /proc/$$/fdinfo/3`;
  const isOwned = `ip -d link show ${TAP} | grep -q 'type tap .*persist on user ${OWNER} '`;
  assert.equal(await launch(isOpen), 0);
  assert.equal(await launch(isOwned), 0);
  const tap = () => native.links().find(({ name }) => name === TAP);
  assert.deepEqual(tap(), { name: TAP, master: BRIDGE, isUp: true });
  native.tapsDelete([TAP]);
  assert.equal(tap(), undefined);
});

test('a tap that cannot be put on its bridge is not left', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const launch = createLauncher(t);
  assert.throws(() => void launch('true', 'vtaps-none'), {
    code: 'ENODEV',
    syscall: 'tap: ioctl(SIOCBRADDIF)',
    path: 'vtaps-none',
  });
  assert.equal(native.linkNames().includes(TAP), false);
});

test('a tap can be opened again at once, however many processes other threads start', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  native.bridgeEnsure(BRIDGE, '10.99.0.1', 24);
  const threads = Array.from(
    { length: FORKING_THREADS },
    () => new Worker(FORK_WITHOUT_END, { eval: true }),
  );
  t.after(async () => {
    await Promise.all(threads.map((thread) => thread.terminate()));
    native.tapsDelete([TAP]);
    native.bridgeDelete(BRIDGE);
  });
  await Promise.all(
    threads.map((thread) => new Promise((resolve) => thread.once('message', resolve))),
  );
  const launch = createLauncher(t);
  for (let count = 0; count < TAPS; count += 1) {
    // The kernel allows one descriptor.
    assert.equal(await launch('true'), 0, `tap ${count} was busy`);
  }
});
