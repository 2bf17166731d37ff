// bench: what one real guest costs its host once it has booted: memory of its hypervisor, without pages of files, and
// processor time while nobody asks it anything.

import { setTimeout as pause } from 'node:timers/promises';
import { type BenchDaemon, startDaemon } from '../lib/daemon.ts';
import { untilAnswered } from '../lib/guest.ts';
import { exactCpuSecondsOf, memoryOf } from '../lib/machine.ts';
import { inRounds } from '../lib/rounds.ts';
import type { Row } from '../lib/row.ts';

const MEBIBYTE = 2 ** 20;
const GUEST_MB = 96;
/** What a hypervisor may take beside its guest's memory. */
const HYPERVISOR_MB = 16;
/** Of one processor. */
const IDLE_PERCENT = 0.2;
/** What a guest does after its boot is done by then. */
const CALM_MS = 2_000;

export async function benchGuests(quick: boolean): Promise<Row[]> {
  const daemon = await startDaemon({ VOLANT_LOG_LEVEL: 'warn' });
  try {
    const rounds = await inRounds(quick ? 2 : 5, async (index) => {
      const guest = await measureGuest(daemon, `guest-${index}`, quick ? 10 : 20);
      const memoryBound = GUEST_MB + HYPERVISOR_MB;
      return {
        memory: { ours: { value: guest.memoryMb }, bound: { value: memoryBound } },
        idle: { ours: { value: guest.idlePercent }, bound: { value: IDLE_PERCENT } },
      };
    });
    return [
      rounds.row(
        'memory',
        `one real guest of ${GUEST_MB} MiB: memory of its hypervisor`,
        'MiB',
        `its memory and ${HYPERVISOR_MB} MiB`,
        { atMost: 1 },
      ),
      rounds.row(
        'idle',
        'one real guest: processor time while idle',
        '% of one',
        'what is aimed at',
        {
          atMost: 1,
        },
      ),
    ];
  } finally {
    await daemon.stop();
  }
}

async function measureGuest(daemon: BenchDaemon, name: string, seconds: number) {
  const body = { name, plugin: 'hello', memory_mb: GUEST_MB };
  const vm = JSON.parse(await daemon.expect(201, 'POST', '/api/v1/vms', body));
  await untilAnswered(vm.ip_address);
  await pause(CALM_MS);
  const memoryMb = memoryOf(vm.pid) / MEBIBYTE;
  const before = exactCpuSecondsOf(vm.pid);
  await pause(seconds * 1000);
  const idlePercent = ((exactCpuSecondsOf(vm.pid) - before) * 100) / seconds;
  await daemon.expect(204, 'DELETE', `/api/v1/vms/${name}`);
  return { memoryMb, idlePercent };
}
