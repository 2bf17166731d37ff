// engine, vms: removes what the host has of VMs that no record knows. Which those are is the caller's business.

import { LIMITS } from '../../config.ts';
import { within } from '../../lib/deadline.ts';
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

  /**
   * Resolves within a bound with the number of things that were removed. What cannot be removed is logged and left, as is
   * all of a process that the kernel does not let go of: the next audit tries again.
   */
  async remove(found: readonly (readonly [vmId: number, left: Leftovers])[]): Promise<number> {
    // Processes first: they hold taps and cgroups.
    const ended = await Promise.all(
      found.map(([vmId, { processes }]) => this.#endAll(vmId, processes)),
    );
    const orphans = found.filter((_, index) => ended[index]);
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

  /** false when one of them lives on. */
  async #endAll(vmId: number, processes: readonly ProcessIdentity[]): Promise<boolean> {
    const ended = await Promise.all(processes.map((identity) => this.#end(vmId, identity)));
    return ended.every((isGone) => isGone);
  }

  async #end(vmId: number, identity: ProcessIdentity): Promise<boolean> {
    const { host, log } = this.#parts;
    log.warn({ vmId, ...identity }, 'ending a hypervisor that no VM owns');
    try {
      const process = await host.adopt(vmId, identity);
      if (process === null) return true;
      await process.signal('SIGKILL');
      // A process in an uninterruptible sleep ends when the kernel wakes it, which may be never.
      const exit = await within(process.exited, LIMITS.stopKillMs);
      if (exit === undefined) log.error({ vmId, ...identity }, 'a hypervisor outlived SIGKILL');
      return exit !== undefined;
    } catch (error) {
      log.error({ vmId, ...identity, err: error }, 'a hypervisor could not be ended');
      return false;
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
