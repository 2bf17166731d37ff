// engine, audit: compares the host with the records, once a minute by itself and whenever somebody asks, and puts in line
// what can be. Where they differ is a pure function's business.

import { LIMITS } from '../../config.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { AddressPool } from '../addresses.ts';
import type { NetworkKeeper } from '../network/network-keeper.ts';
import type { HostPort } from '../ports.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import type { AuditDifference, AuditReport } from '../system-api.ts';
import type { Admission } from '../vms/admission.ts';
import { leftoversIn } from '../vms/leftovers.ts';
import type { VmsRoom } from '../vms/room.ts';
import {
  type AuditView,
  type Difference,
  differencesIn,
  RESTART,
  unsettledIn,
} from './differences.ts';

export interface AuditParts {
  readonly state: State;
  readonly host: Pick<HostPort, 'inventory'>;
  readonly addresses: AddressPool;
  readonly network: Pick<NetworkKeeper, 'look' | 'mend'>;
  readonly room: Pick<VmsRoom, 'executor' | 'sweeper' | 'doubt'>;
  readonly admission: Pick<Admission, 'lastVmId'>;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Audit {
  readonly #parts: AuditParts;
  #timer: NodeJS.Timeout | undefined;
  /** One look at a time: whoever asks meanwhile gets its result, unless a repair is wanted and that is none. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: AuditParts) {
    this.#parts = parts;
  }

  /** Looks again and again, and repairs what can be. */
  start(): void {
    this.#timer = setInterval(() => {
      this.run(true).catch((error: unknown) => {
        this.#parts.log.error({ err: error }, 'the host could not be compared with the records');
      });
    }, LIMITS.auditIntervalMs).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Looks, and with `repair` puts in line what can be, and looks again: the report is of what is left. */
  run(repair: boolean): Promise<AuditReport> {
    const running = this.#turn.then(() => this.#run(repair));
    this.#turn = running.catch(() => undefined);
    return running;
  }

  async #run(repair: boolean): Promise<AuditReport> {
    const { clock } = this.#parts;
    const startedMs = clock.monotonicMs();
    const first = await this.#look();
    const found = differencesIn(first);
    const foundInNetwork = await this.#lookAtNetwork();
    const isRepairable = ({ remedy }: AuditDifference) => remedy === null;
    const isDone = !repair || ![...found, ...foundInNetwork].some(isRepairable);
    if (!isDone) {
      await this.#repair(first, found.filter(isRepairable));
      if (foundInNetwork.some(isRepairable)) await this.#parts.network.mend();
    }
    const last = isDone ? first : await this.#look();
    const left = isDone ? found : differencesIn(last);
    const leftInNetwork = isDone ? foundInNetwork : await this.#lookAtNetwork();
    const differences = [...left.map(({ vmId: _, ...rest }) => rest), ...leftInNetwork];
    return {
      clean: differences.length === 0,
      differences,
      repaired: found.length + foundInNetwork.length - differences.length,
      in_progress: unsettledIn(last),
      checked: {
        vms: last.records.length,
        processes: last.inventory.processes.length,
        taps: last.inventory.tapNames.length,
        cgroups: last.inventory.cgroupNames.length,
        run_directories: last.inventory.runDirectoryIds.length,
      },
      duration_ms: Math.round(clock.monotonicMs() - startedMs),
    };
  }

  async #look(): Promise<AuditView> {
    const { state, host, addresses, admission } = this.#parts;
    const { lastVmId } = admission;
    const revision = state.vms.revision;
    const inventory = await host.inventory();
    const holderOf = (address: string) => addresses.holderOf(address);
    const hasChanged = ({ id }: VmRecord) => state.vms.revisionOf(id) > revision;
    return { lastVmId, hasChanged, inventory, records: state.vms.records(), holderOf };
  }

  /** A tap that is missing is told with the rest of its VM. */
  async #lookAtNetwork(): Promise<readonly AuditDifference[]> {
    const { network, state } = this.#parts;
    const found = (await network.look()) ?? [];
    return found
      .filter(({ kind }) => kind !== 'tap-missing')
      .map(({ kind, subject, vmId, remedy }) => ({
        kind: kind.replaceAll('-', '_'),
        subject,
        vm: vmId === null ? null : (state.find(vmId)?.name ?? null),
        remedy: remedy === 'restart-vm' ? RESTART : null,
      }));
  }

  /** One that does not come to rest in time, or at all, is told with what is left. */
  async #settle(vmId: number): Promise<void> {
    const { executor } = this.#parts.room;
    const signal = AbortSignal.timeout(LIMITS.auditSettleMs);
    const reached = executor.until(vmId, (_, isSettled) => isSettled, signal);
    executor.wake(vmId);
    try {
      await reached;
    } catch (error) {
      this.#parts.log.warn({ id: vmId, err: error }, 'a VM could not be put in line yet');
    }
  }

  async #repair({ inventory }: AuditView, found: readonly Difference[]): Promise<void> {
    const { state, addresses, room, log } = this.#parts;
    for (const { kind, subject, vm } of found) log.warn({ kind, subject, vm }, 'HOST_DRIFT');
    const unknown = new Set(found.filter(({ vm }) => vm === null).map(({ vmId }) => vmId));
    await room.sweeper.remove([...leftoversIn(inventory)].filter(([vmId]) => unknown.has(vmId)));
    const owned = new Map(found.filter(({ vm }) => vm !== null).map((one) => [one.vmId, one]));
    await Promise.all(
      [...owned.values()].map(async ({ kind, subject, vmId }) => {
        if (kind === 'lease_wrong') {
          const isFree = addresses.claim(subject, vmId) === null;
          const value = { vmId, releasedAtMs: null };
          if (isFree) await state.commit([{ table: 'addresses', key: subject, value }], []);
          return;
        }
        room.doubt(vmId);
        await this.#settle(vmId);
      }),
    );
  }
}
