// e2e: what a small guest costs the host: little memory beside its own. The pages of files that all guests share, such as
// QEMU's program and the kernel's file, do not count.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';

const MEMORY_MB = 96;
const OVERHEAD_MB = 16;

/** A member of /proc/PID/smaps_rollup, in MiB. */
function memoryMb(pid: number, member: string): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const match = new RegExp(`^${member}: +(\\d+) kB$`, 'm').exec(text);
  return Number(match?.[1]) / 1024;
}

test('a booted guest of 96 MiB costs the host at most 16 MiB more', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const wanted = { name: 'small', plugin: 'hello', memory_mb: MEMORY_MB };
  const { status, body } = await daemon.call(
    'POST',
    '/api/v1/vms?wait=ready&timeout=60000',
    wanted,
  );
  assert.equal(status, 201, JSON.stringify(body));
  const usedMb = memoryMb(body.pid, 'Anonymous') + memoryMb(body.pid, 'Swap');
  t.diagnostic(`anonymous memory of the hypervisor: ${usedMb.toFixed(1)} MiB`);
  assert.ok(usedMb <= MEMORY_MB + OVERHEAD_MB, `${usedMb.toFixed(1)} MiB`);
});
