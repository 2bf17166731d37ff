// test: a stand-in for the readings of the kernel's counters. A test says what was counted for a process.

import {
  FIGURE,
  FIGURES,
  type HostReading,
  type MeteredVm,
  type StatsHost,
} from '../../src/engine/ports/stats-ports.ts';

export type Counted = Partial<Record<keyof typeof FIGURE, number>>;

export class FakeStats implements StatsHost {
  /** By pid. A process that is not there has ended. */
  readonly counted = new Map<number, Counted>();
  /** How often VMs were read, and which. */
  readonly asked: (readonly MeteredVm[])[] = [];
  /** Waits or throws. */
  beforeReading: () => Promise<void> = async () => undefined;

  async readVms(vms: readonly MeteredVm[]) {
    this.asked.push(vms);
    await this.beforeReading();
    const figures = new Float64Array(vms.length * FIGURES).fill(Number.NaN);
    for (const [index, { pid }] of vms.entries()) {
      for (const [name, value] of Object.entries(this.counted.get(pid) ?? {})) {
        figures[index * FIGURES + FIGURE[name as keyof typeof FIGURE]] = value;
      }
    }
    return { readAtMs: 1_000, figures };
  }

  async readHost(): Promise<HostReading> {
    await this.beforeReading();
    return {
      readAtMs: 1_000,
      userSeconds: 10,
      systemSeconds: 5,
      idleSeconds: 100,
      iowaitSeconds: 1,
      stealSeconds: 0,
      memoryTotalBytes: 2 ** 33,
      memoryAvailableBytes: 2 ** 32,
      swapTotalBytes: 0,
      swapFreeBytes: 0,
      loadAverages: [0.5, 0.25, 0.125],
    };
  }

  queues() {
    return [];
  }

  families() {
    return [];
  }
}
