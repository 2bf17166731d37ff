// jobs: removes what VMs leave behind on the host: run directories, cgroups and disks. Their taps are removed by
// network/network.ts.

import { failPoints } from '../../lib/fail-points.ts';
import { type Outcome, success } from '../../lib/outcome.ts';
import { faultOf } from './fault.ts';
import { removeDisks } from './media/disks.ts';
import { removeCgroup } from './process/cgroup.ts';
import { removeRunDirectory } from './process/run-directory.ts';
import type { HostSettings, JobArgument, Remains } from './protocol.ts';

/** Removes all, and returns the outcome of each in their order. Absent ones are no error. */
export function removeRemains({
  settings,
  remains,
}: JobArgument<'removeRemains'>): readonly Outcome<null>[] {
  const pass = failPoints(settings.failPoint);
  return remains.map((one) => {
    try {
      pass(`remains:${one.kind}`);
      remove(settings, one);
      return success(null);
    } catch (error) {
      return faultOf(error, `${one.kind} removal`);
    }
  });
}

function remove(settings: HostSettings, one: Remains): void {
  if (one.kind === 'cgroup') removeCgroup(settings, one.name);
  else if (one.kind === 'disks') removeDisks(settings, one.vmId);
  else removeRunDirectory(settings, one.vmId);
}
