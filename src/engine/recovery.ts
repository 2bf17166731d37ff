// engine: what happens at a start of the daemon. Records are read, the host is looked at, and the two
// are made to agree: hypervisors that live are adopted, operations that were cut off are finished or
// undone, and what no record owns is swept away.

import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { RecoveryReport } from './engine-api.ts';
import { vmEvent } from './events.ts';
import { exposedPortsOf } from './exposures/exposed-ports.ts';
import type { Exposures } from './exposures/exposures.ts';
import type { Launcher, RunningVm } from './launcher.ts';
import { type Leftovers, leftoversIn } from './leftovers.ts';
import type { Operations } from './operations.ts';
import type { HostInventory, HostPort } from './ports.ts';
import type { ConfigRecord, ProcessIdentity, VmRecord } from './records.ts';
import { putVm, type State } from './state.ts';
import type { VmLifecycle } from './vm-lifecycle.ts';
import { moveTo } from './vm-state.ts';

interface RecoveryParts {
  readonly state: State;
  readonly host: HostPort;
  readonly launcher: Launcher;
  readonly lifecycle: VmLifecycle;
  readonly operations: Operations;
  readonly exposures: Exposures;
  /** The highest id that an earlier daemon gave. */
  readonly lastVmId: number;
  readonly clock: Clock;
  readonly log: Logger;
}

type Finding = 'adopted' | 'crashed' | 'stopped' | 'undone' | 'unchanged';

interface Look {
  readonly finding: Finding;
  /** Things that were removed because nobody has them. */
  readonly swept: number;
}

/** The host, as it was when this daemon started. */
interface Seen {
  readonly inventory: HostInventory;
  readonly leftovers: ReadonlyMap<number, Leftovers>;
}

const NOTHING: Look = { finding: 'unchanged', swept: 0 };

/**
 * Makes records and host agree. Each VM is held like by an operation until it was looked at: what clients ask
 * for comes after, for when this returns everything is in line already.
 */
export async function recover(parts: RecoveryParts): Promise<RecoveryReport> {
  const { state, host, operations, exposures, clock, log } = parts;
  const startedMs = clock.monotonicMs();
  const records = state.vms.records();
  const ports = exposures.restore(records.flatMap((record) => portsOf(parts, record)));
  const looking = host.inventory().then((inventory) => {
    return { inventory, leftovers: leftoversIn(inventory) };
  });
  const looks = records.map(({ id, name }) =>
    operations.follow(id, async () => {
      const seen = await looking;
      const record = state.find(id);
      // A VM that was launched by this daemon needs no recovery.
      if (record === undefined || parts.lifecycle.runningVm(id) !== undefined) return NOTHING;
      try {
        return await recoverVm(parts, seen, record);
      } catch (error) {
        log.error({ vm: name, err: error }, 'VM could not be recovered');
        return NOTHING;
      }
    }),
  );
  const looked = await Promise.all(looks);
  const findings = looked.map(({ finding }) => finding);
  const { leftovers } = await looking;
  const isOrphan = (id: number) => id <= parts.lastVmId && state.find(id) === undefined;
  const orphans = [...leftovers.keys()].filter(isOrphan);
  const swept =
    looked.reduce((sum, look) => sum + look.swept, 0) + (await sweep(parts, leftovers, orphans));
  await ports;
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
  { inventory, leftovers }: Seen,
  record: VmRecord,
): Promise<Look> {
  if (record.status === 'stopped' || record.status === 'crashed') {
    await parts.launcher.releaseDevices(record);
    return { finding: 'unchanged', swept: await sweep(parts, leftovers, [record.id]) };
  }
  const process = record.process ?? leftovers.get(record.id)?.processes[0] ?? null;
  const alive = { ...record, process };
  const configOf = (version: number) => parts.state.store.config(record.id, version)?.config;
  const vm = await parts.launcher.adopt(alive, configOf(record.launchedConfigVersion));
  if (vm === null) {
    const finding = await recoverDead(parts, inventory, record);
    return { finding, swept: 0 };
  }
  parts.lifecycle.adopted(alive, vm);
  return { finding: await recoverAlive(parts, alive, vm), swept: 0 };
}

/** Ports of a VM that may be alive, and is not on its way out. */
function portsOf(parts: RecoveryParts, record: VmRecord) {
  if (!['running', 'starting', 'pending'].includes(record.status)) return [];
  const stored = configOf(parts, record);
  return stored === undefined
    ? []
    : [{ record, ports: exposedPortsOf(stored.config, record.replica) }];
}

function configOf({ state }: RecoveryParts, record: VmRecord): ConfigRecord | undefined {
  return state.store.config(record.id, record.configVersion);
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

/**
 * Removes what the host has of VMs that do not run. Returns how many things that were. Run and disk directories
 * of a VM that has a record stay.
 */
async function sweep(
  { state, host, log }: RecoveryParts,
  leftovers: ReadonlyMap<number, Leftovers>,
  vmIds: readonly number[],
): Promise<number> {
  const found = vmIds.flatMap((vmId) => {
    const left = leftovers.get(vmId);
    return left === undefined ? [] : [{ vmId, isGone: state.find(vmId) === undefined, ...left }];
  });
  const orphans = found.flatMap(({ vmId, processes }) =>
    processes.map((identity) => ({ vmId, identity })),
  );
  for (const orphan of orphans) log.warn({ ...orphan }, 'ending a hypervisor that no VM owns');
  // Processes first: they hold taps and cgroups.
  await Promise.all(orphans.map(({ identity }) => killOrphan(host, identity)));
  const removals = found.flatMap((left) => [
    ...left.tapNames.map((name) => host.removeTap(name)),
    ...left.cgroupNames.map((name) => host.removeCgroup(name)),
    ...(left.isGone && left.hasRunDirectory ? [host.removeRunDirectory(left.vmId)] : []),
    ...(left.isGone && left.hasDisks ? [host.removeDisks(left.vmId)] : []),
  ]);
  for (const result of await Promise.allSettled(removals)) {
    if (result.status === 'rejected') log.error({ err: result.reason }, 'sweep failed');
  }
  return orphans.length + removals.length;
}

async function killOrphan(host: HostPort, identity: ProcessIdentity): Promise<void> {
  const process = await host.adopt(identity);
  if (process === null) return;
  await process.signal('SIGKILL');
  await process.exited;
}
