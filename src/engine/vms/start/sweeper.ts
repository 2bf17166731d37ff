// engine, vms: removes what the host has of VMs without a record. The caller decides which VMs these are.

import type { Limits } from '../../../config/limits.ts';
import { within } from '../../../lib/deadline.ts';
import type { Logger } from '../../../lib/log/log.ts';
import type { HostPorts } from '../../ports/host-ports.ts';
import type { ProcessIdentity } from '../../records.ts';
import type { Leftovers } from './leftovers.ts';

export interface SweeperParts {
  readonly host: Pick<HostPorts, 'network' | 'media' | 'processes'>;
  readonly limits: Pick<Limits, 'stopKillMs'>;
  readonly log: Logger;
}

export class Sweeper {
  readonly #parts: SweeperParts;

  constructor(parts: SweeperParts) {
    this.#parts = parts;
  }

  /**
   * Resolves to the number of removed things, within a deadline. What cannot be removed is logged and left to the next
   * audit, as is everything of a process that survives SIGKILL.
   */
  async remove(found: readonly (readonly [vmId: number, left: Leftovers])[]): Promise<number> {
    // Processes go first, because they hold taps and cgroups.
    const ended = await Promise.all(
      found.map(([vmId, { processes }]) => this.#endAll(vmId, processes)),
    );
    const orphans = found.filter((_, index) => ended[index]);
    const removals = orphans.flatMap(([vmId, left]) => this.#removalsOf(vmId, left));
    const results = await Promise.allSettled(removals);
    const failures = results.filter((result) => result.status === 'rejected');
    for (const { reason } of failures) this.#parts.log.error({ err: reason }, 'sweep failed');
    const processes = orphans.reduce((sum, [, left]) => sum + left.processes.length, 0);
    return processes + removals.length - failures.length;
  }

  /** false if one of them still lives. */
  async #endAll(vmId: number, processes: readonly ProcessIdentity[]): Promise<boolean> {
    const ended = await Promise.all(processes.map((identity) => this.#end(vmId, identity)));
    return ended.every((isGone) => isGone);
  }

  async #end(vmId: number, identity: ProcessIdentity): Promise<boolean> {
    const { host, limits, log } = this.#parts;
    log.warn({ vmId, ...identity }, 'ending a hypervisor that no VM owns');
    try {
      const process = await host.processes.adopt(vmId, identity);
      if (process === null) return true;
      await process.signal('SIGKILL');
      // A process in an uninterruptible sleep ends when the kernel wakes it, which may be never.
      const exit = await within(process.exited, limits.stopKillMs);
      if (exit === undefined) log.error({ vmId, ...identity }, 'a hypervisor survived SIGKILL');
      return exit !== undefined;
    } catch (error) {
      log.error({ vmId, ...identity, err: error }, 'a hypervisor could not be ended');
      return false;
    }
  }

  #removalsOf(vmId: number, left: Leftovers): Promise<void>[] {
    const { host } = this.#parts;
    return [
      ...left.tapNames.map((name) => host.network.removeTap(name)),
      ...left.cgroupNames.map((name) => host.processes.removeCgroup(name)),
      ...(left.hasRunDirectory ? [host.processes.removeRunDirectory(vmId)] : []),
      ...(left.hasDisks ? [host.media.removeDisks(vmId)] : []),
    ];
  }
}
