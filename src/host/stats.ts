// host: the port StatsHost: readings by jobs, and what is known of the jobs and threads themselves.

import type { MeteredVm, StatsHost } from '../engine/ports/stats-ports.ts';
import type { HostSettings, PackedVms } from './jobs/protocol.ts';
import type { Threads } from './jobs/threads.ts';

/** Implements StatsHost. */
export class HostStats implements StatsHost {
  readonly #settings: HostSettings;
  readonly #threads: Pick<Threads, 'run' | 'queues' | 'families'>;

  constructor(settings: HostSettings, threads: Pick<Threads, 'run' | 'queues' | 'families'>) {
    this.#settings = settings;
    this.#threads = threads;
  }

  readVms(vms: readonly MeteredVm[]) {
    return this.#threads.run('readVms', { settings: this.#settings, vms: packed(vms) });
  }

  readHost() {
    return this.#threads.run('readHost', {});
  }

  queues() {
    return this.#threads.queues();
  }

  families() {
    return this.#threads.families();
  }
}

/** What a job gets of these VMs. */
export function packed(vms: readonly MeteredVm[]): PackedVms {
  const processes = new Float64Array(vms.length * 2);
  for (const [index, { pid, startTimeTicks }] of vms.entries()) {
    processes[index * 2] = pid;
    processes[index * 2 + 1] = startTimeTicks;
  }
  return {
    processes,
    tapNames: vms.map(({ tapName }) => tapName ?? '-').join(' '),
    cgroupNames: vms.map(({ cgroupName }) => cgroupName).join(' '),
  };
}
