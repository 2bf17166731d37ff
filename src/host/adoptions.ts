// host: opens hypervisors that an earlier daemon launched. A start of the daemon adopts all of them at once, so those that
// are asked for in one turn of the event loop share a few jobs. How one is recognised is up to the job.

import { LIMITS } from '../config/limits.ts';
import type { ProcessIdentity } from '../engine/records.ts';
import { success } from '../lib/outcome.ts';
import type { HostSettings, Run } from './jobs/protocol.ts';
import { SharedJobs } from './shared-jobs.ts';

interface Known {
  readonly vmId: number;
  readonly identity: ProcessIdentity;
}

export class Adoptions {
  readonly #jobs: SharedJobs<Known, number | null>;

  constructor(settings: HostSettings, run: Run) {
    this.#jobs = new SharedJobs({
      run: async (hypervisors) => {
        const { pidfds } = await run('openHypervisors', { settings, hypervisors });
        return pidfds.map(success);
      },
      itemsMax: LIMITS.adoptionsPerJobMax,
      afterwards: setImmediate,
    });
  }

  /** Resolves with a pidfd, which the caller owns; null if the process is gone. */
  open(vmId: number, identity: ProcessIdentity): Promise<number | null> {
    return this.#jobs.ask({ vmId, identity });
  }
}
