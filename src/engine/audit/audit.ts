// engine, audit: compares the host with the records once a minute and on request, and repairs what can be repaired.
// differences.ts finds the differences.

import { LIMITS } from '../../config/limits.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { AddressPool } from '../network/addresses.ts';
import type { NetworkKeeper } from '../network/network-keeper.ts';
import type { ProcessHost } from '../ports/process-ports.ts';
import type { State } from '../state/state.ts';
import type { AuditDifference, AuditReport } from '../system-api.ts';
import type { Admission } from '../vms/admission.ts';
import { leftoversIn } from '../vms/start/leftovers.ts';
import type { VmSubsystem } from '../vms/vm-subsystem.ts';
import {
  type AuditedVm,
  type AuditView,
  type Difference,
  differencesIn,
  RESTART,
  unsettledIn,
} from './differences.ts';

export interface AuditParts {
  readonly state: State;
  readonly host: Pick<ProcessHost, 'inventory'>;
  readonly addresses: AddressPool;
  readonly network: Pick<NetworkKeeper, 'check' | 'repairNow'>;
  readonly subsystem: Pick<VmSubsystem, 'executor' | 'sweeper' | 'invalidate'>;
  readonly admission: Pick<Admission, 'lastVmId'>;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Audit {
  readonly #parts: AuditParts;
  #timer: NodeJS.Timeout | undefined;
  /** Audits run one at a time, in the order of their requests. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: AuditParts) {
    this.#parts = parts;
  }

  /** Begins the periodic audits, which repair. */
  start(): void {
    this.#timer = setInterval(() => {
      this.run(true).catch((error: unknown) => {
        this.#parts.log.error({ err: error }, 'the host could not be compared with the records');
      });
    }, LIMITS.auditIntervalMs).unref();
  }

  /** Ends the periodic audits. */
  close(): void {
    clearInterval(this.#timer);
  }

  /**
   * Audits the host. With `repair`, repairs what can be repaired and audits again. The report has the differences that
   * are left.
   */
  run(repair: boolean): Promise<AuditReport> {
    const running = this.#turn.then(() => this.#run(repair));
    this.#turn = running.catch(() => undefined);
    return running;
  }

  async #run(repair: boolean): Promise<AuditReport> {
    const { clock } = this.#parts;
    const startedMs = clock.monotonicMs();
    const first = await this.#view();
    const found = differencesIn(first);
    const foundInNetwork = await this.#checkNetwork();
    const isRepairable = ({ remedy }: AuditDifference) => remedy === null;
    const isDone = !repair || ![...found, ...foundInNetwork].some(isRepairable);
    if (!isDone) {
      await this.#repair(first, found.filter(isRepairable));
      if (foundInNetwork.some(isRepairable)) await this.#parts.network.repairNow();
    }
    const last = isDone ? first : await this.#view();
    const left = isDone ? found : differencesIn(last);
    const leftInNetwork = isDone ? foundInNetwork : await this.#checkNetwork();
    const differences = [...left.map(({ vmId: _, ...rest }) => rest), ...leftInNetwork];
    return {
      clean: differences.length === 0,
      differences,
      repaired: found.length + foundInNetwork.length - differences.length,
      in_progress: unsettledIn(last),
      checked: {
        vms: last.vms.length,
        processes: last.inventory.processes.length,
        taps: last.inventory.tapNames.length,
        cgroups: last.inventory.cgroupNames.length,
        run_directories: last.inventory.runDirectoryIds.length,
      },
      duration_ms: Math.round(clock.monotonicMs() - startedMs),
    };
  }

  async #view(): Promise<AuditView> {
    const { state, host, addresses, admission } = this.#parts;
    const { lastVmId } = admission;
    const revision = state.vms.revision;
    const inventory = await host.inventory();
    const holderOf = (address: string) => addresses.holderOf(address);
    const hasChanged = ({ id }: AuditedVm) => state.vms.revisionOf(id) > revision;
    const recordOf = (vmId: number) => state.find(vmId);
    const vms = [...state.vms.summaries()];
    return { lastVmId, hasChanged, inventory, vms, recordOf, holderOf };
  }

  /** A missing tap is reported by the audit of its VM. */
  async #checkNetwork(): Promise<readonly AuditDifference[]> {
    const { network, state } = this.#parts;
    const found = (await network.check()) ?? [];
    return found
      .filter(({ kind }) => kind !== 'tap-missing')
      .map(({ kind, subject, vmId, remedy }) => ({
        kind: kind.replaceAll('-', '_'),
        subject,
        vm: vmId === null ? null : (state.find(vmId)?.name ?? null),
        remedy: remedy === 'restart-vm' ? RESTART : null,
      }));
  }

  /** Reconciles a VM. If it does not settle before the deadline, the report has what is left. */
  async #settle(vmId: number): Promise<void> {
    const { executor } = this.#parts.subsystem;
    const signal = AbortSignal.timeout(LIMITS.auditSettleMs);
    const reached = executor.until(vmId, (_, isSettled) => isSettled, signal);
    executor.wake(vmId);
    try {
      await reached;
    } catch (error) {
      this.#parts.log.warn({ id: vmId, err: error }, 'a VM could not be repaired yet');
    }
  }

  async #repair({ inventory }: AuditView, found: readonly Difference[]): Promise<void> {
    const { state, addresses, subsystem, log } = this.#parts;
    for (const { kind, subject, vm } of found) log.warn({ kind, subject, vm }, 'HOST_DRIFT');
    const unknown = new Set(found.filter(({ vm }) => vm === null).map(({ vmId }) => vmId));
    await subsystem.sweeper.remove(
      [...leftoversIn(inventory)].filter(([vmId]) => unknown.has(vmId)),
    );
    const owned = new Map(found.filter(({ vm }) => vm !== null).map((one) => [one.vmId, one]));
    await Promise.all(
      [...owned.values()].map(async ({ kind, subject, vmId }) => {
        if (kind === 'lease_wrong') {
          const isFree = addresses.claim(subject, vmId) === null;
          const value = { vmId, releasedAtMs: null };
          if (isFree) await state.commit([{ table: 'addresses', key: subject, value }], []);
          return;
        }
        subsystem.invalidate(vmId);
        await this.#settle(vmId);
      }),
    );
  }
}
