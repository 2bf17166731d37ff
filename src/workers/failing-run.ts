// workers, main-thread side: fail points around the jobs that change something. A job that is cut off before its answer
// came has been done all the same.

import type { PassFailPoint } from '../lib/fail-points.ts';
import type { JobName, Run } from './protocol.ts';

/** Jobs that only look. */
const LOOKS: ReadonlySet<JobName> = new Set<JobName>([
  'countConnections',
  'findCached',
  'findKernel',
  'findPortOwner',
  'findShards',
  'inspectDevices',
  'findOomKill',
  'inspectMedia',
  'lookAtNetwork',
  'lookAtNetwork',
  'measureBoot',
  'measureUsage',
  'openHypervisor',
  'planNetwork',
  'probeHypervisor',
  'readConsole',
  'documentToJson',
  'readDocument',
  'readLogTail',
  'readNameServers',
  'readOverride',
  'recallImages',
  'sha256Of',
  'takeInventory',
]);

/** The same jobs, with a place to fail before and after each. */
export function withFailPoints(run: Run, pass: PassFailPoint): Run {
  return async (name, argument, transferList) => {
    if (LOOKS.has(name)) return run(name, argument, transferList);
    pass(`job:${name}:before`);
    const result = await run(name, argument, transferList);
    pass(`job:${name}:after`);
    return result;
  };
}
