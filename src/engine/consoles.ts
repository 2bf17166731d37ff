// engine: the consoles of VMs. A guest's serial port takes one connection, so there is one reader for
// each VM that somebody looks at, and it serves all viewers.

import { LIMITS } from '../config.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { ConsoleReader } from './console-reader.ts';
import type { ConsoleApi, ConsoleSession, ConsoleViewer } from './engine-api.ts';
import type { HostPort, HypervisorPort } from './ports.ts';
import type { State } from './state.ts';
import type { LiveVms } from './vms/live.ts';
import { stateConflict } from './vms/status.ts';

export interface ConsolesParts {
  readonly state: State;
  readonly live: Pick<LiveVms, 'runningVm'>;
  readonly host: Pick<HostPort, 'readConsole'>;
  readonly hypervisor: Pick<HypervisorPort, 'console'>;
  readonly runDirectory: (vmId: number) => string;
  readonly log: Logger;
}

export class Consoles implements ConsoleApi {
  readonly #parts: ConsolesParts;
  readonly #readers = new Map<number, ConsoleReader>();

  constructor(parts: ConsolesParts) {
    this.#parts = parts;
  }

  attach(vmName: string, viewer: ConsoleViewer): ConsoleSession {
    const { state, live } = this.#parts;
    const { id, status } = state.require(vmName);
    if (status !== 'running' || live.runningVm(id) === undefined) {
      throw stateConflict(vmName, status, 'has no console');
    }
    const reader = this.#readers.get(id) ?? this.#begin(id, vmName);
    if (reader.size >= LIMITS.consoleViewersMax) {
      const why = `At most ${LIMITS.consoleViewersMax} viewers may look at one console`;
      throw new VolantError('OVERLOADED', why, { retryAfterSeconds: 5 });
    }
    return reader.join(viewer);
  }

  past(vmName: string): Promise<Uint8Array> {
    return this.#parts.host.readConsole(this.#parts.state.require(vmName).id);
  }

  /** Leaves every console; the guests do not notice. */
  close(): void {
    for (const reader of this.#readers.values()) reader.close();
  }

  #begin(vmId: number, vmName: string): ConsoleReader {
    const { host, hypervisor, runDirectory, log } = this.#parts;
    const reader = new ConsoleReader({
      connect: () => hypervisor.console(runDirectory(vmId)),
      readPast: () => host.readConsole(vmId),
      // A newer reader of the same VM may have its place already.
      onOver: () => this.#readers.get(vmId) === reader && this.#readers.delete(vmId),
      log: log.child({ vm: vmName, id: vmId }),
    });
    this.#readers.set(vmId, reader);
    return reader;
  }
}
