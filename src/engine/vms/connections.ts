// engine: connections to a hypervisor that was launched: its control socket and the agent in its guest.

import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import {
  type AgentConnection,
  type ControlConnection,
  type HostPort,
  type HypervisorPort,
  RUN_FILES,
  type WatchedProcess,
} from '../ports.ts';
import type { VmRecord } from '../records.ts';
import { describeExit, launchFailure } from './launch-failure.ts';
import type { ResolvedLaunch } from './launch-spec.ts';

interface ConnectionParts {
  readonly host: HostPort;
  readonly hypervisor: HypervisorPort;
  readonly runDirectory: (vmId: number) => string;
  readonly log: Logger;
}

export class Connections {
  readonly #parts: ConnectionParts;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
  }

  /**
   * Connects to the control socket. HYPERVISOR_FAILED when the process ends first, HYPERVISOR_TIMEOUT when the time is
   * over: both with what the hypervisor said.
   */
  async control(
    record: VmRecord,
    process: WatchedProcess,
    timeoutMs: number,
  ): Promise<ControlConnection> {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), timeoutMs);
    const connecting = this.#parts.hypervisor.connect(
      record.driver,
      this.#parts.runDirectory(record.id),
      abort.signal,
    );
    const died = process.exited.then((exit) => ({ exit }));
    try {
      const first = await Promise.race([connecting, died]);
      if (!('exit' in first)) return first;
      abort.abort();
      // A connection that was made just before the end has nobody to serve.
      connecting.then((control) => control.close()).catch(() => undefined);
      throw await this.#launchFailure('HYPERVISOR_FAILED', record, describeExit(first.exit));
    } catch (error) {
      if (!abort.signal.aborted || error instanceof VolantError) throw error;
      const seconds = Math.round(timeoutMs / 1000);
      const why = `its control socket did not answer in ${seconds} s`;
      throw await this.#launchFailure('HYPERVISOR_TIMEOUT', record, why);
    } finally {
      clearTimeout(timer);
    }
  }

  async #launchFailure(
    code: 'HYPERVISOR_FAILED' | 'HYPERVISOR_TIMEOUT',
    record: VmRecord,
    why: string,
  ): Promise<VolantError> {
    const lines = await this.lastWords(record.id);
    return launchFailure(code, record, why, lines, this.#parts.hypervisor.complaintIn(lines));
  }

  /** null where the driver has no agent. It gets the manifest that did not fit on the command line. */
  agent(
    record: VmRecord,
    resolved: Pick<ResolvedLaunch, 'manifestOverChannel'>,
    process: WatchedProcess,
  ): AgentConnection | null {
    const agent = this.#parts.hypervisor.agent(record.driver, this.#parts.runDirectory(record.id));
    if (agent === null || resolved.manifestOverChannel === null) return agent;
    const abort = new AbortController();
    void process.exited.then(() => abort.abort(new Error('the hypervisor ended')));
    agent.sendManifest(resolved.manifestOverChannel, abort.signal).catch((error: unknown) => {
      this.#parts.log.warn({ vm: record.name, err: error }, 'the agent did not take its manifest');
    });
    return agent;
  }

  /** The last lines that the hypervisor wrote, for an error or an event. */
  lastWords(vmId: number): Promise<readonly string[]> {
    return this.#parts.host.readLogTail(
      `${this.#parts.runDirectory(vmId)}/${RUN_FILES.hypervisorLog}`,
    );
  }
}
