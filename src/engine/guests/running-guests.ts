// engine, guests: running guests as the parts that talk to them see them. vms/ launches and ends them. Only types.

import type { AgentConnection, ControlConnection } from '../ports/hypervisor-ports.ts';

export interface RunningGuest {
  readonly control: {
    /** null while the hypervisor does not answer. */
    readonly current: ControlConnection | null;
    /** For how many ms there has been no connection. */
    readonly lostForMs: number;
  };
  /** null if the driver has no agent, and until the control socket answers. */
  readonly agent: AgentConnection | null;
}

export interface RunningGuests {
  /** undefined while no hypervisor of the VM runs. */
  runningVm(vmId: number): RunningGuest | undefined;
  runningIds(): readonly number[];
}
