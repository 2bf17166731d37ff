// host: the port SystemHost: the size and the load of the host, and whether the worker threads still return.

import type { SystemHost } from '../engine/ports/host-ports.ts';
import { hostSizeReader } from './host-size.ts';
import type { CpuSample } from './jobs/protocol.ts';
import type { Threads } from './jobs/threads.ts';

/** Implements SystemHost. It keeps the last CPU sample between calls. */
export class HostSystem implements SystemHost {
  readonly #threads: Threads;
  readonly #size = hostSizeReader();
  /** The sample of the previous call, which the next one is compared with. */
  #cpu: CpuSample | null = null;

  constructor(threads: Threads) {
    this.#threads = threads;
  }

  async usage() {
    const { after, cpuPercent, memPercent } = await this.#threads.run('measureUsage', {
      before: this.#cpu,
    });
    this.#cpu = after;
    return { cpuPercent, memPercent };
  }

  size() {
    return this.#size();
  }

  async probeThreads(recentMs: number): Promise<void> {
    if (performance.now() - this.#threads.lastEndMs() < recentMs) return;
    await this.#threads.run('ping', {});
  }

  hangingJobs(): number {
    return this.#threads.facts().hanging;
  }
}
