// e2e: the daemon of `npm run up` is restarted after it died, is not restarted when it should not be, and has the requested
// settings or reports that it has others.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { untilPasses } from '../helpers/until.ts';
import { isAlive } from './daemon.ts';
import { createPrivateHost, type PrivateHost } from './private-host.ts';

const COMES_BACK_MS = 30_000;

const node = (host: PrivateHost, settings: readonly string[], script: string, ...args: string[]) =>
  host.run('env', ...settings, process.execPath, join(PROJECT_ROOT, 'scripts', script), ...args);

const SIMULATOR = ['VOLANT_HYPERVISOR=simulator'];

async function get(host: PrivateHost, path: string) {
  const { status, output } = await host.run('curl', '-fsS', `http://127.0.0.1:7777${path}`);
  return status === 0 ? JSON.parse(output) : null;
}

const pidIn = (host: PrivateHost, file: string) =>
  Number(readFileSync(join(host.home, file), 'utf8'));

async function startedHost(t: TestContext): Promise<PrivateHost> {
  const host = createPrivateHost(t);
  const up = await node(host, SIMULATOR, 'up.mjs');
  assert.equal(up.status, 0, up.output);
  return host;
}

/** Waits until another daemon than that of `pid` answers. */
async function nextDaemon(host: PrivateHost, pid: number) {
  const deadline = Date.now() + COMES_BACK_MS;
  for (;;) {
    const info =
      pidIn(host, 'volantd.lock') === pid ? null : await get(host, '/api/v1/system/info');
    if (info !== null) return info;
    assert.ok(Date.now() < deadline, 'the daemon comes back');
    await pause(50);
  }
}

/** A lock is given back, and a parent told of the end, a moment before the process is gone. */
async function untilGone(...pids: number[]): Promise<void> {
  const deadline = Date.now() + COMES_BACK_MS;
  while (pids.some(isAlive)) {
    assert.ok(Date.now() < deadline, `${pids.filter(isAlive).join(', ')} must end`);
    await pause(50);
  }
}

test('a daemon that is killed is restarted, says so, and down ends it for good', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const host = await startedHost(t);
  const first = (await get(host, '/api/v1/system/info')).supervisor;
  assert.deepEqual(first, { kind: 'volant', unit: null, restarts: 0, last_exit: null });
  const vm = await get(host, '/api/v1/vms/hello');

  const supervisor = pidIn(host, 'volantd-supervisor.lock');
  const daemon = pidIn(host, 'volantd.lock');
  process.kill(daemon, 'SIGKILL');
  const info = await nextDaemon(host, daemon);
  assert.deepEqual(info.supervisor, {
    kind: 'volant',
    unit: null,
    restarts: 1,
    last_exit: 'SIGKILL',
  });
  assert.equal((await get(host, '/api/v1/vms/hello')).pid, vm.pid, 'the VM ran on');
  const log = readFileSync(join(host.home, 'logs/volantd-start.log'), 'utf8');
  assert.match(log, /the daemon ended with SIGKILL; restart 1 follows in 0\.5 s/);

  const successor = pidIn(host, 'volantd.lock');
  const down = await host.script('down.mjs');
  assert.match(down.output, new RegExp(`ended, pid ${successor}`));
  await untilGone(supervisor, successor);
  // The check of the records is ended with the daemon, and gone a moment later.
  await untilPasses(() =>
    assert.deepEqual(host.processes(), [vm.pid], 'nothing but the VM is left'),
  );
  assert.equal(existsSync(join(host.home, 'volantd-supervisor.lock')), false);
});

test('down ends a supervisor whose daemon is not there', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const host = await startedHost(t);
  const supervisor = pidIn(host, 'volantd-supervisor.lock');
  process.kill(pidIn(host, 'volantd.lock'), 'SIGKILL');
  const down = await host.script('down.mjs', '--all');
  assert.equal(down.status, 0, down.output);
  await untilGone(supervisor);
  await untilGone(...host.processes());
});

test('a daemon whose supervisor is gone says so, and up gives it a new one', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const host = await startedHost(t);
  process.kill(pidIn(host, 'volantd-supervisor.lock'), 'SIGKILL');
  const deadline = Date.now() + COMES_BACK_MS;
  while ((await get(host, '/api/v1/system/info')).supervisor.kind !== 'none') {
    assert.ok(Date.now() < deadline, 'the daemon notices');
    await pause(20);
  }
  const up = await node(host, SIMULATOR, 'up.mjs');
  assert.match(up.output, /restarted with a supervisor/);
  assert.equal((await get(host, '/api/v1/system/info')).supervisor.kind, 'volant');
});

test('settings that the running daemon does not have are refused, not ignored', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const host = await startedHost(t);
  const settings = ['VOLANT_API_KEY=secret-value', 'VOLANT_API_LISTEN=0.0.0.0:7777'];
  const up = await node(host, [...SIMULATOR, ...settings], 'up.mjs');
  assert.equal(up.status, 1, up.output);
  assert.match(up.output, /VOLANT_API_KEY is not set there and set here/);
  assert.match(up.output, /VOLANT_API_LISTEN is not set there and 0\.0\.0\.0:7777 here/);
  assert.doesNotMatch(up.output, /secret-value/);
  const same = await node(host, SIMULATOR, 'up.mjs');
  assert.match(same.output, /runs, pid/);
});

test('an open address without a key is refused, and warned about where it is wanted', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const host = createPrivateHost(t);
  const open = [...SIMULATOR, 'VOLANT_API_LISTEN=0.0.0.0:7777'];
  const refused = await node(host, open, 'up.mjs');
  assert.equal(refused.status, 1, refused.output);
  assert.match(refused.output, /Create a key with `volar keys create`/);
  await untilGone(...host.processes());
  const up = await node(host, [...open, 'VOLANT_API_OPEN=yes'], 'up.mjs');
  assert.equal(up.status, 0, up.output);
  assert.match(up.output, /! VOLANT_API_LISTEN: the API is open to everybody/);
  assert.match(readFileSync(join(host.home, 'logs/volantd.log'), 'utf8'), /open to everybody/);
});

test('wrong settings end the supervisor at once, and up names all of them before anything starts', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const host = createPrivateHost(t);
  const wrong = ['VOLANT_BRIDGE=a-name-that-is-too-long', 'VOLANT_DNS=nonsense'];
  const alone = await node(host, wrong, 'supervise.mjs');
  assert.equal(alone.status, 2, alone.output);
  assert.doesNotMatch(alone.output, /restart/);
  const up = await node(host, wrong, 'up.mjs');
  assert.equal(up.status, 1, up.output);
  assert.match(up.output, /VOLANT_BRIDGE: use 1 to 15[\s\S]*VOLANT_DNS: nonsense/);
  await untilGone(...host.processes());
});
