// e2e: a tap is there for its hypervisor as soon as it is made. The thread that makes one closes it
// again, but a process that another thread forks meanwhile has a copy of its descriptor for a moment.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { native } from '../../src/workers/native.ts';
import { requireCapability } from '../helpers/capabilities.ts';

const BRIDGE = 'vtaps0';
const TAPS = 150;
const FORKING_THREADS = 4;

const FORK_WITHOUT_END = `
  const { spawnSync } = require('node:child_process');
  require('node:worker_threads').parentPort.postMessage('runs');
  for (;;) spawnSync('/bin/true');`;

test('a tap can be opened at once, however many processes other threads start', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  native.bridgeEnsure(BRIDGE, '10.99.0.1', 24);
  const threads = Array.from(
    { length: FORKING_THREADS },
    () => new Worker(FORK_WITHOUT_END, { eval: true }),
  );
  t.after(async () => {
    await Promise.all(threads.map((thread) => thread.terminate()));
    native.tapsDelete(['vtap0']);
    native.bridgeDelete(BRIDGE);
  });
  await Promise.all(
    threads.map((thread) => new Promise((resolve) => thread.once('message', resolve))),
  );
  for (let count = 0; count < TAPS; count += 1) {
    native.tapAttach('vtap0', BRIDGE, 0);
    // Opens the tap again, as its hypervisor would: the kernel allows one descriptor.
    assert.doesNotThrow(() => native.tapAttach('vtap0', BRIDGE, 0), `tap ${count} was busy`);
    native.tapsDelete(['vtap0']);
  }
});
