// hypervisor: the HypervisorPort: which driver says a launch in which words, and how it is talked to.

import type { HypervisorPort } from '../engine/ports.ts';
import { RUN_FILES } from '../engine/ports.ts';
import type { Logger } from '../lib/log.ts';
import { createAgentConnection } from './agent-client.ts';
import { connectConsole } from './console.ts';
import { complaintIn, hasBrokenClock, qemuCommand } from './qemu.ts';
import { connectQmp } from './qmp.ts';
import { simulatorCommand } from './simulator.ts';

/** `tunnelsMax`: connections to host ports through the agent of one VM at once. */
export function createHypervisor(log: Logger, tunnelsMax: number): HypervisorPort {
  return {
    command: (spec, facts) =>
      facts.driver === 'simulator' ? simulatorCommand(spec, facts) : qemuCommand(spec, facts),
    complaintIn,
    hasBrokenClock,
    // The simulator speaks the few words of QMP that are used here.
    connect: (_driver, runDirectory, signal) =>
      connectQmp(`${runDirectory}/${RUN_FILES.control}`, signal),
    agent: (driver, runDirectory) =>
      driver === 'simulator'
        ? null
        : createAgentConnection(`${runDirectory}/${RUN_FILES.agent}`, log, tunnelsMax),
    console: (runDirectory) => connectConsole(`${runDirectory}/${RUN_FILES.serial}`),
  };
}
