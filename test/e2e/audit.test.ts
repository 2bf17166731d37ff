// e2e: changes of the host by hand are found, reported and repaired.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, isAlive, signalVm, startDaemon } from './daemon.ts';

const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };

async function audit(daemon: Daemon, query = '') {
  const answer = await daemon.call('GET', `/api/v1/system/audit${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.body;
}

const told = ({ differences }: { differences: { kind: string; subject: string; vm: string }[] }) =>
  differences.map(({ kind, subject, vm }) => [kind, subject, vm].join(' ')).sort();

test('a host that is as it should be is clean, and each kind of VM is looked at', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  for (const name of ['runs', 'stopped', 'crashed']) await daemon.createVm(name);
  await daemon.call('POST', '/api/v1/vms/stopped/stop');
  signalVm(await daemon.getVm('crashed'), 'SIGKILL');
  await daemon.waitFor('crashed', 'crashed');
  const report = await audit(daemon);
  assert.deepEqual([report.clean, report.differences], [true, []]);
  const { vms, processes, taps } = report.checked;
  assert.deepEqual([vms, processes, taps], [3, 1, 1]);
});

test('what no VM has, and what one has that should not, is found and removed', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const [gone, stopped] = [await daemon.createVm('gone'), await daemon.createVm('stopped')];
  const [tapOfGone, tapOfStopped] = daemon.taps();
  await daemon.call('DELETE', '/api/v1/vms/gone');
  await daemon.call('POST', '/api/v1/vms/stopped/stop');
  for (const tap of [tapOfGone, tapOfStopped]) {
    execFileSync('ip', ['tuntap', 'add', tap ?? '', 'mode', 'tap']);
  }
  const run = join(daemon.home, 'run', String(gone.id));
  mkdirSync(run);
  // As a hypervisor that nobody knows looks: it leads a session, and works and keeps its pid file there.
  const pidFile = join(run, 'hypervisor.pid');
  const stray = spawn('sh', ['-c', 'sleep 100', 'sh', '--pid-file', pidFile], {
    cwd: run,
    detached: true,
    stdio: 'ignore',
  });
  t.after(() => isAlive(stray.pid) && process.kill(-(stray.pid ?? 0), 'SIGKILL'));
  const expected = [
    `process_unknown ${stray.pid} `,
    `run_directory_unknown ${gone.id} `,
    `tap_left ${tapOfStopped} stopped`,
    `tap_unknown ${tapOfGone} `,
  ];
  assert.deepEqual(told(await audit(daemon)), expected);
  assert.ok(isAlive(stray.pid), 'a look changes nothing');
  const report = await audit(daemon, '?repair=true');
  assert.deepEqual(
    [report.clean, report.repaired],
    [true, expected.length],
    JSON.stringify(report),
  );
  assert.ok(!isAlive(stray.pid));
  assert.deepEqual([daemon.taps(), daemon.runDirectories()], [[], [String(stopped.id)]]);
});

test('what is removed of the network is found, and put back', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  await daemon.createVm('one');
  const [tap] = daemon.taps();
  execFileSync('ip', ['link', 'set', tap ?? '', 'nomaster']);
  const report = await audit(daemon, '?repair=true');
  assert.deepEqual([report.clean, report.differences], [true, []]);
  const links = execFileSync('ip', ['-o', 'link', 'show', tap ?? ''], { encoding: 'utf8' });
  assert.match(links, / master /);
});

test('what a guest cannot get back while it runs is reported with what to do', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const vm = await daemon.createVm('one');
  const [tap] = daemon.taps();
  execFileSync('ip', ['link', 'delete', tap ?? '']);
  rmSync(join(daemon.home, 'run', String(vm.id)), { recursive: true });
  await pause(20);
  const report = await audit(daemon, '?repair=true');
  assert.equal(report.clean, false);
  for (const { remedy } of report.differences) assert.match(remedy, /^restart the VM/);
  assert.ok(isAlive(vm.pid), 'a guest that runs is left alone');
  assert.equal((await daemon.call('POST', '/api/v1/vms/one/restart')).status, 200);
  const after = await audit(daemon);
  assert.deepEqual([after.clean, after.differences], [true, []]);
});

test('a query that is no query of this operation is refused', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const answer = await daemon.call('GET', '/api/v1/system/audit?repair=maybe');
  assert.deepEqual([answer.status, answer.body.code], [400, 'PARAMETER_INVALID'], answer.text);
});
