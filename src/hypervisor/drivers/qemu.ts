// hypervisor: the driver for QEMU. It joins the parts in the files beside it.

import { RUN_FILES } from '../../engine/ports/hypervisor-ports.ts';
import { createAgentConnection } from '../agent-client.ts';
import { connectQmp } from '../qmp.ts';
import type { Driver } from './driver.ts';
import { complaintIn, hasBrokenClock, qemuCommand } from './qemu-command.ts';
import { qemuFacts } from './qemu-facts.ts';

export const qemu: Driver = {
  facts: qemuFacts,
  command: qemuCommand,
  complaintIn,
  hasBrokenClock,
  connect: (runDirectory, signal) => connectQmp(`${runDirectory}/${RUN_FILES.control}`, signal),
  agent: (runDirectory, { log, tunnelsMax }) =>
    createAgentConnection(`${runDirectory}/${RUN_FILES.agent}`, log, tunnelsMax),
};
