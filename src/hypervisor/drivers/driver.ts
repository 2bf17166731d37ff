// hypervisor: the interface of a driver: one object with these members. The table of drivers is in drivers.ts; what
// drivers share (QMP, the channel to the agent) is in the folder above.

import type { HypervisorChoice } from '../../config/drivers.ts';
import type {
  AgentConnection,
  ControlConnection,
  HypervisorComplaint,
  LaunchSpec,
} from '../../engine/ports/hypervisor-ports.ts';
import type { HypervisorFacts, ProcessExit } from '../../engine/ports/process-ports.ts';
import type { Logger } from '../../lib/log/log.ts';

export interface HypervisorCommand {
  readonly executable: string;
  readonly argv: readonly string[];
}

export interface AgentSettings {
  readonly log: Logger;
  /** Maximum number of connections to published ports through the agent of one VM. */
  readonly tunnelsMax: number;
}

/** A small guest that shows whether hardware acceleration works. It ends by itself soon after its boot. */
export interface Canary {
  readonly executable: string;
  readonly version: string;
  /** Returns the arguments that boot this kernel with its console on standard output. */
  argv(kernel: string): readonly string[];
}

export type ChosenAccelerator = Pick<HypervisorFacts, 'accelerator' | 'reason' | 'kvmTrial'>;

/** The access to the host that a driver has while it finds its hypervisor. */
export interface DriverHost {
  readonly choice: HypervisorChoice;
  /** Returns the path of a program; null when it is not installed. */
  find(program: string): string | null;
  isExecutable(path: string): boolean;
  exists(path: string): boolean;
  /** Returns a path below this package; null when the file is missing or not executable. */
  findBuilt(path: string): string | null;
  /** Returns the standard output of a program. Throws HYPERVISOR_FAILED when it fails or exceeds its deadline. */
  outputOf(executable: string, args: readonly string[]): string;
  /**
   * Chooses by VOLANT_ACCELERATOR, the CPU and a trial. Throws HOST_PERMISSION when KVM is required and unavailable.
   */
  chooseAccelerator(canary: Canary): ChosenAccelerator;
  /** Returns the frequency of the host's time stamp counter in kHz. */
  tscKhz(): number;
}

export interface Driver {
  /**
   * Finds the hypervisor on this host. Blocks: called on a worker thread. Throws HYPERVISOR_MISSING when it or one of
   * its files is missing, HYPERVISOR_FAILED when it does not run.
   */
  facts(host: DriverHost): HypervisorFacts;
  /** LaunchSpec -> command line. Pure. */
  command(spec: LaunchSpec, facts: HypervisorFacts): HypervisorCommand;
  /** Recognises a complaint in a stderr tail. Pure. */
  complaintIn(lines: readonly string[]): HypervisorComplaint | null;
  /** Whether a guest ended its machine because its clock is broken. Pure. */
  hasBrokenClock(exit: ProcessExit): boolean;
  /** Connects to the control socket. Resolves when the hypervisor has answered. Retries until the signal aborts. */
  connect(runDirectory: string, signal: AbortSignal): Promise<ControlConnection>;
  /** Returns the connection to the agent; null when guests have no agent. */
  agent(runDirectory: string, settings: AgentSettings): AgentConnection | null;
}
