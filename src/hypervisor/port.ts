// hypervisor: implements HypervisorPort: each call goes to the driver of its VM.

import type { HypervisorPort } from '../engine/ports/hypervisor-ports.ts';
import { RUN_FILES } from '../engine/ports/hypervisor-ports.ts';
import { connectConsole } from './console.ts';
import type { AgentSettings } from './drivers/driver.ts';
import { DRIVERS } from './drivers/drivers.ts';

export function createHypervisor(agents: AgentSettings): HypervisorPort {
  return {
    command: (spec, facts) => DRIVERS[facts.driver].command(spec, facts),
    complaintIn: (driver, lines) => DRIVERS[driver].complaintIn(lines),
    hasBrokenClock: (driver, exit) => DRIVERS[driver].hasBrokenClock(exit),
    connect: (driver, ...where) => DRIVERS[driver].connect(...where),
    agent: (driver, runDirectory) => DRIVERS[driver].agent(runDirectory, agents),
    // Every driver has its serial port at this path.
    console: (runDirectory) => connectConsole(`${runDirectory}/${RUN_FILES.serial}`),
  };
}
