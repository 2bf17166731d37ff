// workers: fail points before and after the short jobs that change something. They let tests end or fail the daemon there.
// Jobs that only read, downloads and builds of images have none.

import type { JobName, Run } from '../host/jobs/protocol.ts';
import type { PassFailPoint } from '../lib/fail-points.ts';

/** Jobs that only read. */
const READ_ONLY_JOBS: ReadonlySet<JobName> = new Set<JobName>([
  'countConnections',
  'countEgress',
  'documentToJson',
  'findCached',
  'findKernel',
  'findOomKill',
  'findPortOwner',
  'findSecondaryBridges',
  'inspectDevices',
  'inspectMedia',
  'isMissing',
  'listImages',
  'measureBoot',
  'measureUsage',
  'openHypervisors',
  'ping',
  'planNetwork',
  'probeHypervisor',
  'readConsole',
  'readDocument',
  'readHost',
  'readLogTail',
  'readNameServers',
  'readNetwork',
  'readOverride',
  'readVms',
  'recallImages',
  'settleTaps',
  'sha256Of',
  'takeInventory',
]);

/**
 * Wraps a runner of jobs: the result passes the fail points `job:<name>:before` and `job:<name>:after` around each
 * job.
 */
export function withFailPoints(run: Run, pass: PassFailPoint): Run {
  return async (name, argument, transferList) => {
    if (READ_ONLY_JOBS.has(name)) return run(name, argument, transferList);
    pass(`job:${name}:before`);
    const result = await run(name, argument, transferList);
    pass(`job:${name}:after`);
    return result;
  };
}
