// e2e: the wall clock is set by an hour, forward and back, while a daemon works: its VMs, its deadlines and the order of
// its events are not affected.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { until } from '../helpers/until.ts';
import { type Daemon, isAlive, signalVm, startDaemon } from './daemon.ts';

const HOUR_MS = 3_600_000;
const POLL_MS = 20;
/** Loaded before the daemon: its wall clock is off by what a file says, in every thread. Timers do not ask it. */
const SHIM = `
import { readFileSync } from 'node:fs';
const path = process.env.TEST_CLOCK_FILE;
const real = Date.now;
let offsetMs = 0;
const look = () => { offsetMs = Number(readFileSync(path, 'utf8')); };
look();
setInterval(look, ${POLL_MS}).unref();
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...args) { args.length === 0 ? super(real() + offsetMs) : super(...args); }
  static now() { return real() + offsetMs; }
};
`;

async function withClock(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'volant-clock-'));
  const [shim, file] = [join(directory, 'shim.mjs'), join(directory, 'offset')];
  writeFileSync(shim, SHIM);
  writeFileSync(file, '0');
  const daemon = await startDaemon(t, {
    VOLANT_HYPERVISOR: 'simulator',
    NODE_OPTIONS: `--import=${shim}`,
    TEST_CLOCK_FILE: file,
  });
  // After the daemon's own end, which needs it.
  t.after(() => rmSync(directory, { recursive: true }));
  return {
    daemon,
    setBy: async (offsetMs: number) => {
      writeFileSync(file, String(offsetMs));
      await pause(5 * POLL_MS);
    },
  };
}

async function replaces(daemon: Daemon, name: string): Promise<void> {
  const before = await daemon.getVm(name);
  signalVm(before, 'SIGKILL');
  await until(`${name} is replaced`, async () => {
    const vm = await daemon.getVm(name);
    return vm?.status === 'running' && vm.id !== before.id;
  });
}

test('a clock that is set by an hour changes nothing', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const { daemon, setBy } = await withClock(t);
  const config = { plugin: 'hello' };
  const deployment = { name: 'web', replicas: 2, config };
  const deployed = await daemon.call('POST', '/api/v1/deployments?wait=ready', deployment);
  assert.equal(deployed.status, 201, deployed.text);
  const stays = await daemon.createVm('stays');
  for (const offsetMs of [-HOUR_MS, HOUR_MS, 0]) {
    await setBy(offsetMs);
    const made = await daemon.createVm('comes');
    const offMs = Date.parse(made.created_at) - Date.now() - offsetMs;
    assert.ok(Math.abs(offMs) < 60_000, 'times that are shown follow the clock');
    const { body: audit } = await daemon.call('GET', '/api/v1/system/audit');
    assert.deepEqual([audit.clean, audit.in_progress], [true, []]);
    const startedMs = performance.now();
    assert.equal((await daemon.call('DELETE', '/api/v1/vms/comes')).status, 204);
    assert.ok(performance.now() - startedMs < 8_000, 'an end takes as long as ever');
    await replaces(daemon, 'web-1');
    // The next daemon finds records of a time to come.
    await daemon.killAndRestart();
    assert.equal((await daemon.getVm('stays')).pid, stays.pid);
    assert.ok(isAlive(stays.pid));
    const { body } = await daemon.call('GET', '/api/v1/deployments/web');
    assert.equal(body.replicas.length, 2);
  }
});
