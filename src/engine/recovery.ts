// engine: what happens at a start of the daemon. Records are read, the host is looked at, and the two
// are made to agree: hypervisors that live are adopted, operations that were cut off are finished or
// undone, and what no record owns is swept away.

import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { RecoveryReport } from './engine-api.ts';
import { vmEvent } from './events.ts';
import { cgroupNameOf, tapNameOf } from './identity.ts';
import type { Launcher, RunningVm } from './launcher.ts';
import type { Operations } from './operations.ts';
import type { HostInventory, HostPort } from './ports.ts';
import type { ProcessIdentity, VmRecord } from './records.ts';
import { putVm, type State } from './state.ts';
import type { VmLifecycle } from './vm-lifecycle.ts';
import { moveTo } from './vm-state.ts';

interface RecoveryParts {
  readonly state: State;
  readonly host: HostPort;
  readonly launcher: Launcher;
  readonly lifecycle: VmLifecycle;
  readonly operations: Operations;
  readonly hostTag: string;
  readonly clock: Clock;
  readonly log: Logger;
}

type Finding = 'adopted' | 'crashed' | 'stopped' | 'undone' | 'unchanged';

/** Makes records and host agree. Each VM is held like by an operation while it is looked at. */
export async function recover(parts: RecoveryParts): Promise<RecoveryReport> {
  const { state, operations, clock, log } = parts;
  const startedMs = clock.monotonicMs();
  // Taken before anything new can be made: whatever it shows is older than this daemon.
  const inventory = await parts.host.inventory();
  const findings = await Promise.all(
    state.vms.records().map(({ id, name }) =>
      operations.follow(id, async () => {
        const record = state.find(id);
        if (record === undefined) return 'unchanged';
        try {
          return await recoverVm(parts, inventory, record);
        } catch (error) {
          log.error({ vm: name, err: error }, 'VM could not be recovered');
          return 'unchanged';
        }
      }),
    ),
  );
  const swept = await sweep(parts, inventory);
  const count = (wanted: Finding) => findings.filter((finding) => finding === wanted).length;
  const report: RecoveryReport = {
    adopted: count('adopted'),
    crashed: count('crashed'),
    stopped: count('stopped'),
    undone: count('undone'),
    swept,
    durationMs: Math.round(clock.monotonicMs() - startedMs),
  };
  log.info({ ...report }, 'recovery done');
  return report;
}

async function recoverVm(
  parts: RecoveryParts,
  inventory: HostInventory,
  record: VmRecord,
): Promise<Finding> {
  if (record.status === 'stopped' || record.status === 'crashed') return 'unchanged';
  const process = record.process ?? processOf(inventory, record.id);
  const alive = { ...record, process };
  const configOf = (version: number) => parts.state.store.config(record.id, version)?.config;
  // What it was launched with is in the guest; the ports of the host follow the newest config.
  const vm = await parts.launcher.adopt(alive, {
    launched: configOf(record.launchedConfigVersion),
    newest: configOf(record.configVersion),
  });
  if (vm === null) return recoverDead(parts, inventory, record);
  parts.lifecycle.adopted(alive, vm);
  return recoverAlive(parts, alive, vm);
}

async function recoverAlive(
  parts: RecoveryParts,
  record: VmRecord,
  vm: RunningVm,
): Promise<Finding> {
  const { lifecycle, state, clock } = parts;
  switch (record.status) {
    case 'stopping':
    case 'deleting':
      // Waits for its turn, which comes after this look at the VM.
      void lifecycle.finish(record).catch((error: unknown) => {
        parts.log.error({ vm: record.name, err: error }, 'an operation could not be finished');
      });
      return record.status === 'deleting' ? 'undone' : 'stopped';
    case 'starting':
    case 'pending': {
      // The launch had gone through; only its answer was lost.
      const running: VmRecord = {
        ...record,
        status: moveTo(record.name, 'starting', 'running'),
        process: vm.process.identity,
        neverRan: false,
        updatedAtMs: clock.nowMs(),
      };
      await state.commit([putVm(running)], [vmEvent('VM_RUNNING', running, 'Adopted')]);
      return 'adopted';
    }
    default:
      return 'adopted';
  }
}

async function recoverDead(
  parts: RecoveryParts,
  inventory: HostInventory,
  record: VmRecord,
): Promise<Finding> {
  const { launcher, lifecycle, state, clock } = parts;
  await launcher.release(record, undefined);
  if (record.status === 'deleting' || record.neverRan) {
    await launcher.removeFiles(record);
    const deleted = record.status === 'deleting';
    await lifecycle.forget(record, deleted ? 'Deleted' : 'Its creation was cut off');
    return 'undone';
  }
  const { status, message } = meaningOfAbsence(inventory, record);
  const moved: VmRecord = {
    ...record,
    status: moveTo(record.name, record.status, status),
    process: null,
    updatedAtMs: clock.nowMs(),
  };
  const type = status === 'crashed' ? 'VM_CRASHED' : 'VM_STOPPED';
  await state.commit([putVm(moved)], [vmEvent(type, moved, message)]);
  return status;
}

/** Why a hypervisor that should run is not there. */
function meaningOfAbsence(
  inventory: HostInventory,
  record: VmRecord,
): { readonly status: 'stopped' | 'crashed'; readonly message: string } {
  if (record.status === 'stopping') return { status: 'stopped', message: 'Stopped' };
  if (record.status === 'starting') {
    return { status: 'stopped', message: 'Its start was cut off' };
  }
  if (record.process !== null && record.process.bootId !== inventory.bootId) {
    return { status: 'stopped', message: 'The host was restarted' };
  }
  if (inventory.orderlyExitIds.includes(record.id)) {
    return { status: 'stopped', message: 'The guest powered off while the daemon was down' };
  }
  return { status: 'crashed', message: 'The hypervisor ended while the daemon was down' };
}

/** Removes what the inventory shows and no record owns. Returns how many things that were. */
async function sweep(parts: RecoveryParts, inventory: HostInventory): Promise<number> {
  const { state, host, hostTag, log } = parts;
  const alive = state.vms.records().filter((record) => record.process !== null);
  const aliveIds = new Set(alive.map((record) => record.id));
  const tapNames = new Set(alive.map((record) => tapNameOf(hostTag, record.id)));
  const cgroupNames = new Set(alive.map((record) => cgroupNameOf(record.id)));
  const orphans = inventory.processes.filter(({ vmId }) => !aliveIds.has(vmId));
  const taps = inventory.tapNames.filter((name) => !tapNames.has(name));
  const cgroups = inventory.cgroupNames.filter((name) => !cgroupNames.has(name));
  const isGone = (id: number) => state.find(id) === undefined;
  const directories = inventory.runDirectoryIds.filter(isGone);
  const disks = inventory.diskDirectoryIds.filter(isGone);
  for (const orphan of orphans) log.warn({ ...orphan }, 'ending a hypervisor that no VM owns');
  // Processes first: they hold taps and cgroups.
  await Promise.all(orphans.map(({ identity }) => killOrphan(host, identity)));
  const results = await Promise.allSettled([
    ...taps.map((name) => host.removeTap(name)),
    ...cgroups.map((name) => host.removeCgroup(name)),
    ...directories.map((id) => host.removeRunDirectory(id)),
    ...disks.map((id) => host.removeDisks(id)),
  ]);
  for (const result of results) {
    if (result.status === 'rejected') log.error({ err: result.reason }, 'sweep failed');
  }
  return orphans.length + taps.length + cgroups.length + directories.length + disks.length;
}

async function killOrphan(host: HostPort, identity: ProcessIdentity): Promise<void> {
  const process = await host.adopt(identity);
  if (process === null) return;
  await process.signal('SIGKILL');
  await process.exited;
}

function processOf(inventory: HostInventory, vmId: number): ProcessIdentity | null {
  return inventory.processes.find((found) => found.vmId === vmId)?.identity ?? null;
}
