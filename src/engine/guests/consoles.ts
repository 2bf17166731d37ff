// engine, guests: the consoles of VMs. A serial port accepts one connection, so each console with viewers has one
// reader that serves them all.

import { LIMITS } from '../../config/limits.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { ConsoleApi, ConsoleSession, ConsoleViewer } from '../engine-api.ts';
import type { HypervisorPort } from '../ports/hypervisor-ports.ts';
import type { ProcessHost } from '../ports/process-ports.ts';
import type { State } from '../state/state.ts';
import { stateConflict } from '../vm-record/status.ts';
import { ConsoleReader } from './console-reader.ts';
import type { RunningGuests } from './running-guests.ts';

export interface ConsolesParts {
  readonly state: State;
  readonly live: Pick<RunningGuests, 'runningVm'>;
  readonly host: Pick<ProcessHost, 'readConsole'>;
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

  /** Closes all readers. The guests do not notice. */
  close(): void {
    for (const reader of this.#readers.values()) reader.close();
  }

  #begin(vmId: number, vmName: string): ConsoleReader {
    const { host, hypervisor, runDirectory, log } = this.#parts;
    const reader = new ConsoleReader({
      connect: () => hypervisor.console(runDirectory(vmId)),
      readPast: () => host.readConsole(vmId),
      // A newer reader of the same VM may have replaced this one.
      onOver: () => this.#readers.get(vmId) === reader && this.#readers.delete(vmId),
      log: log.child({ vm: vmName, id: vmId }),
    });
    this.#readers.set(vmId, reader);
    return reader;
  }
}
