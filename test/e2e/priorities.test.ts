// e2e: whom the kernel runs first. The daemon's main thread comes before its jobs, and a hypervisor is what the daemon was
// when it was started, also where the daemon started it.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';

/** SCHED_RR is 2, an ordinary thread has 0: field 41 of the file (proc_pid_stat(5)). */
function policyIn(statFile: string): number {
  const stat = readFileSync(statFile, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38]);
}

test('the main thread comes before jobs, and hypervisors do not', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  const { pid } = await daemon.createVm('one', { plugin: 'hello' });
  const before = getPriority();
  assert.equal(getPriority(daemon.pid()), before - 10);
  assert.equal(getPriority(pid ?? 0), before);
  const threads = readdirSync(`/proc/${daemon.pid()}/task`).map((id) => getPriority(Number(id)));
  assert.ok(threads.includes(before), `threads for jobs are at ${before}; all are at ${threads}`);
});

test('the main thread alone has real-time priority, or the log says that the host does not allow it', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  const { pid } = await daemon.createVm('one', { plugin: 'hello' });
  const main = daemon.pid();
  const isRefused = daemon.log().includes('the main thread has no real-time priority');
  const policies = new Map(
    readdirSync(`/proc/${main}/task`).map((id) => [
      Number(id),
      policyIn(`/proc/${main}/task/${id}/stat`),
    ]),
  );
  assert.equal(policies.get(main), isRefused ? 0 : 2);
  policies.delete(main);
  assert.deepEqual(new Set(policies.values()), new Set([0]));
  assert.equal(policyIn(`/proc/${pid}/stat`), 0);
});
