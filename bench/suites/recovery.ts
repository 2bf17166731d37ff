// bench: a daemon that was killed by SIGKILL while 500 VMs run: how long until its successor has adopted them all.

import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { type BenchDaemon, createVms, deleteVms, SIMULATED, startDaemon } from '../lib/daemon.ts';
import { settle } from '../lib/machine.ts';
import { inRounds, inTurn } from '../lib/rounds.ts';
import type { Row } from '../lib/row.ts';

const VMS = 500;
const POLL_MS = 2;
const TIMEOUT_MS = 60_000;

/** Beside the other one it needs a network of its own. */
const OTHER_NETWORK = {
  VOLANT_BRIDGE: 'vbr1',
  VOLANT_SUBNET: '10.89.0.0/16',
  VOLANT_HOST_IP: '10.89.0.1',
};

export async function benchRecovery(quick: boolean): Promise<Row[]> {
  const daemon = await startDaemon(SIMULATED);
  const empty = await startDaemon({ ...SIMULATED, ...OTHER_NETWORK });
  try {
    await createVms(daemon, VMS, 32, 'vm');
    const rounds = await inRounds(quick ? 5 : 9, async (index) => {
      const [full, none] = await inTurn(
        index,
        () => restart(daemon, VMS),
        () => restart(empty, 0),
      );
      return {
        adopt: { ours: { value: full.recoveryMs }, bound: { value: await readAll(daemon) } },
        start: { ours: { value: full.startMs }, bound: { value: none.startMs } },
      };
    });
    await deleteVms(daemon, VMS, 32, 'vm');
    return [
      rounds.row(
        'adopt',
        `kill -9 with ${VMS} VMs: their adoption`,
        'ms',
        'reading each record and its process in /proc, in a loop',
        { atMost: 3 },
      ),
      rounds.row(
        'start',
        `kill -9 with ${VMS} VMs: start until all are adopted`,
        'ms',
        'the start of a daemon without VMs',
        { atMost: 1.5 },
      ),
    ];
  } finally {
    await daemon.stop();
    await empty.stop();
  }
}

/** From the start of the program until it says that its recovery is done, and how long that took of it. */
async function restart(
  daemon: BenchDaemon,
  adopted: number,
): Promise<{ readonly startMs: number; readonly recoveryMs: number }> {
  await daemon.kill();
  await settle();
  const startedMs = performance.now();
  await daemon.startAgain();
  const deadline = startedMs + TIMEOUT_MS;
  for (;;) {
    const { recovery } = JSON.parse(await daemon.expect(200, 'GET', '/api/v1/system/info'));
    const startMs = performance.now() - startedMs;
    if (recovery !== null) {
      if (recovery.adopted !== adopted) throw new Error(`${recovery.adopted} VMs were adopted`);
      return { startMs, recoveryMs: Math.max(1, recovery.durationMs) };
    }
    if (performance.now() > deadline) throw new Error('The recovery does not end');
    await pause(POLL_MS);
  }
}

/** What nobody can do without: the record of each VM is read, and what its process is in /proc. */
async function readAll(daemon: BenchDaemon): Promise<number> {
  const { vms } = parsed(await daemon.expect(200, 'GET', `/api/v1/vms?limit=${VMS}`));
  const texts = vms.map((vm) => JSON.stringify(vm));
  const startedMs = performance.now();
  for (const text of texts) {
    const { pid } = JSON.parse(text);
    readFileSync(`/proc/${pid}/stat`, 'utf8');
    readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  }
  return performance.now() - startedMs;
}

function parsed(text: string): { readonly vms: readonly object[] } {
  const body = JSON.parse(text);
  return { vms: Array.isArray(body) ? body : body.vms };
}
