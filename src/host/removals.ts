// host: removes what VMs leave behind: the run directory, the cgroup and the disks of a deleted VM are asked for at the same
// moment, and share a job.

import { LIMITS } from '../config/limits.ts';
import type { HostSettings, Remains, Run } from './jobs/protocol.ts';
import { SharedJobs } from './shared-jobs.ts';

export class Removals {
  readonly #jobs: SharedJobs<Remains, null>;

  constructor(settings: HostSettings, run: Run) {
    this.#jobs = new SharedJobs({
      run: (remains) => run('removeRemains', { settings, remains }),
      itemsMax: LIMITS.removalsPerJobMax,
      afterwards: queueMicrotask,
    });
  }

  /** Resolves when it is gone. Rejects with the error of this one, or of the job. */
  async remove(remains: Remains): Promise<void> {
    await this.#jobs.ask(remains);
  }
}
