// engine, stats: readings of what running VMs use. Readers of about the same second share one reading. The kernel's
// counters of all VMs are read by one job; hypervisors are asked for their disks over the connections that exist.

import { bootsGuests } from '../../config/drivers.ts';
import { LIMITS, type Limits } from '../../config/limits.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { DiskCounters } from '../ports/hypervisor-ports.ts';
import { FIGURES, type MeteredVm, type StatsHost } from '../ports/stats-ports.ts';
import type { ProcessIdentity, VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import { cgroupNameOf } from '../vm-record/derived-names.ts';
import type { LiveVms, RunningVm } from '../vms/processes/live.ts';

/** The counters of a VM's disks, or why they are unknown, as a sentence. */
export type DiskReading = readonly DiskCounters[] | { readonly missing: string };

/** What was read of one VM. */
export interface VmSample {
  readonly record: VmRecord;
  readonly identity: ProcessIdentity;
  /** Positions are those of FIGURE. */
  readonly row: Float64Array;
  readonly disks: DiskReading;
}

export interface Sample {
  readonly readAtMs: number;
  /** VMs with a hypervisor, by name. */
  readonly vms: readonly VmSample[];
}

export interface VmSamplerParts {
  readonly state: Pick<State, 'find'>;
  readonly live: Pick<LiveVms, 'runningIds' | 'runningVm'>;
  readonly host: Pick<StatsHost, 'readVms'>;
  readonly limits: Pick<Limits, 'statsKeepMs' | 'statsQueriesAllMs'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Logger;
}

interface Running {
  readonly record: VmRecord;
  readonly vm: RunningVm;
}

/** A reading that was begun at this time, and its result. */
interface Begun {
  readonly atMs: number;
  readonly sample: Promise<Sample>;
  isOver: boolean;
}

export class VmSampler {
  readonly #parts: VmSamplerParts;
  #all: Begun | null = null;
  /** By VM: readings of one VM each. */
  readonly #ones = new Map<number, Begun>();
  /** Hypervisors without disks, which need not be asked again: disks are attached at the launch only. */
  readonly #diskless = new WeakSet<RunningVm>();

  constructor(parts: VmSamplerParts) {
    this.#parts = parts;
  }

  /** All VMs with a hypervisor. */
  all(): Promise<Sample> {
    const known = this.#all;
    if (known !== null && this.#isFresh(known)) return known.sample;
    const running = this.#parts.live.runningIds().flatMap((vmId) => this.#running(vmId) ?? []);
    running.sort((a, b) => compare(a.record.name, b.record.name));
    const begun = this.#begin(running, () => {
      if (this.#all === begun) this.#all = null;
    });
    this.#all = begun;
    return begun.sample;
  }

  /** One VM; null if it has no hypervisor. */
  async one(vmId: number): Promise<{ readonly readAtMs: number; readonly vm: VmSample } | null> {
    const running = this.#running(vmId);
    if (running === null) return null;
    const known = this.#all;
    if (known !== null && this.#isFresh(known)) {
      const { readAtMs, vms } = await known.sample;
      const vm = vms.find(({ record }) => record.id === vmId);
      if (vm !== undefined) return { readAtMs, vm };
    }
    const { readAtMs, vms } = await this.#readOne(running);
    const [vm] = vms;
    return vm === undefined ? null : { readAtMs, vm };
  }

  #readOne(running: Running): Promise<Sample> {
    const vmId = running.record.id;
    const known = this.#ones.get(vmId);
    if (known !== undefined && this.#isFresh(known)) return known.sample;
    if (this.#ones.size >= LIMITS.statsPageMax) this.#dropOld();
    const begun = this.#begin([running], () => {
      if (this.#ones.get(vmId) === begun) this.#ones.delete(vmId);
    });
    this.#ones.set(vmId, begun);
    return begun.sample;
  }

  #dropOld(): void {
    for (const [vmId, begun] of this.#ones) if (!this.#isFresh(begun)) this.#ones.delete(vmId);
  }

  /** One that is under way is fresh, too: however slow the host is, there is one at a time. */
  #isFresh({ atMs, isOver }: Begun): boolean {
    const { clock, limits } = this.#parts;
    return !isOver || clock.monotonicMs() - atMs < limits.statsKeepMs;
  }

  #running(vmId: number): Running | null {
    const vm = this.#parts.live.runningVm(vmId);
    const record = vm === undefined ? undefined : this.#parts.state.find(vmId);
    return vm === undefined || record === undefined ? null : { record, vm };
  }

  #begin(running: readonly Running[], forget: () => void): Begun {
    const sample = this.#read(running);
    const begun: Begun = { atMs: this.#parts.clock.monotonicMs(), sample, isOver: false };
    const end = () => {
      begun.isOver = true;
    };
    // A reading that failed is not kept. Its readers get the error from the promise itself.
    sample.then(end, () => {
      end();
      forget();
    });
    return begun;
  }

  async #read(running: readonly Running[]): Promise<Sample> {
    const metered = running.map(({ record, vm }): MeteredVm => {
      const { pid, startTimeTicks } = vm.process.identity;
      const { tapName } = record.leases;
      return { pid, startTimeTicks, tapName, cgroupName: cgroupNameOf(record.id) };
    });
    const [{ readAtMs, figures }, disks] = await Promise.all([
      metered.length === 0 ? NOTHING_READ() : this.#parts.host.readVms(metered),
      this.#askDisks(running),
    ]);
    const vms = running.map(
      ({ record, vm }, index): VmSample => ({
        record,
        identity: vm.process.identity,
        row: figures.subarray(index * FIGURES, (index + 1) * FIGURES),
        disks: disks[index] ?? NOT_ASKED,
      }),
    );
    return { readAtMs, vms };
  }

  /** Asks a bounded number of hypervisors at a time. */
  async #askDisks(running: readonly Running[]): Promise<readonly DiskReading[]> {
    const { clock, limits } = this.#parts;
    const endMs = clock.monotonicMs() + limits.statsQueriesAllMs;
    const readings: DiskReading[] = running.map(() => NOT_ASKED);
    const asked: number[] = [];
    for (const [index, { record, vm }] of running.entries()) {
      if (!bootsGuests(record.driver)) readings[index] = NO_DISKS_SIMULATED;
      else if (this.#diskless.has(vm)) readings[index] = [];
      else asked.push(index);
    }
    const ask = async () => {
      for (let index = asked.shift(); index !== undefined; index = asked.shift()) {
        const one = running[index];
        if (one === undefined) return;
        if (clock.monotonicMs() > endMs) return;
        readings[index] = await this.#disksOf(one);
      }
    };
    await Promise.all(Array.from({ length: LIMITS.statsQueriesMax }, ask));
    return readings;
  }

  async #disksOf({ record, vm }: Running): Promise<DiskReading> {
    const control = vm.control.current;
    if (control === null) return { missing: 'The hypervisor does not answer' };
    try {
      const disks = await control.diskCounters();
      if (disks.length === 0) this.#diskless.add(vm);
      return disks;
    } catch (error) {
      this.#parts.log.debug({ vm: record.name, err: error }, 'the disks of a VM are not known');
      return { missing: error instanceof Error ? error.message : String(error) };
    }
  }
}

const NOT_ASKED: DiskReading = { missing: 'Other hypervisors took too long to answer' };

const NO_DISKS_SIMULATED: DiskReading = { missing: 'The simulator has no disks' };

const NOTHING_READ = async () => ({ readAtMs: Date.now(), figures: new Float64Array(0) });

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
