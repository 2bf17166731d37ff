// engine, vms: removes what the host has of VMs that no record knows. Which those are is the caller's business.

import type { Logger } from '../../lib/log.ts';
import type { HostPort } from '../ports.ts';
import type { ProcessIdentity } from '../records.ts';
import { kernelCountOf, type Leftovers } from './leftovers.ts';

export interface SweeperParts {
  readonly host: HostPort;
  readonly log: Logger;
}

export class Sweeper {
  readonly #parts: SweeperParts;

  constructor(parts: SweeperParts) {
    this.#parts = parts;
  }

  /** Resolves with the number of things that were removed. One that cannot be removed is logged and left. */
  async remove(orphans: readonly (readonly [vmId: number, left: Leftovers])[]): Promise<number> {
    // Processes first: they hold taps and cgroups.
    await Promise.all(orphans.map(([vmId, { processes }]) => this.#end(vmId, processes)));
    const removals = orphans.flatMap(([vmId, left]) => this.#removalsOf(vmId, left));
    const results = await Promise.allSettled(removals);
    for (const result of results) {
      if (result.status === 'rejected') {
        this.#parts.log.error({ err: result.reason }, 'sweep failed');
      }
    }
    const files = ({ hasRunDirectory, hasDisks }: Leftovers) =>
      Number(hasRunDirectory) + Number(hasDisks);
    return orphans.reduce((sum, [, left]) => sum + kernelCountOf(left) + files(left), 0);
  }

  async #end(vmId: number, processes: readonly ProcessIdentity[]): Promise<void> {
    const { host, log } = this.#parts;
    for (const identity of processes) {
      log.warn({ vmId, ...identity }, 'ending a hypervisor that no VM owns');
      const process = await host.adopt(vmId, identity);
      await process?.signal('SIGKILL');
      await process?.exited;
    }
  }

  #removalsOf(vmId: number, left: Leftovers): Promise<void>[] {
    const { host } = this.#parts;
    return [
      ...left.tapNames.map((name) => host.removeTap(name)),
      ...left.cgroupNames.map((name) => host.removeCgroup(name)),
      ...(left.hasRunDirectory ? [host.removeRunDirectory(vmId)] : []),
      ...(left.hasDisks ? [host.removeDisks(vmId)] : []),
    ];
  }
}
