// e2e: whom the kernel runs first. The daemon's main thread comes before its jobs, and a hypervisor is what the daemon was
// when it was started, also where the daemon started it.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { getPriority } from 'node:os';
import { test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';

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
