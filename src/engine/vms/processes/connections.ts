// engine, vms: makes the connections to a launched hypervisor: to its control socket, and to the agent in its guest.

import { VolantError } from '../../../lib/errors.ts';
import type { Logger } from '../../../lib/log/log.ts';
import type { MetadataService } from '../../metadata/metadata-service.ts';
import {
  type AgentConnection,
  type ControlConnection,
  type HypervisorPort,
  RUN_FILES,
} from '../../ports/hypervisor-ports.ts';
import type { ProcessHost, WatchedProcess } from '../../ports/process-ports.ts';
import type { VmRecord } from '../../records.ts';
import { describeExit, launchFailure } from '../launch/launch-failure.ts';

interface ConnectionParts {
  readonly host: Pick<ProcessHost, 'readLogTail'>;
  readonly hypervisor: HypervisorPort;
  readonly runDirectory: (vmId: number) => string;
  readonly metadata: Pick<MetadataService, 'serve'>;
  readonly log: Logger;
}

export class Connections {
  readonly #parts: ConnectionParts;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
  }

  /**
   * Connects to the control socket. Throws HYPERVISOR_FAILED if the process ends first and HYPERVISOR_TIMEOUT after
   * `timeoutMs`. Both errors have the stderr tail.
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
      // A connection that was made just before the exit is closed.
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
    const lines = await this.stderrTail(record.id);
    return launchFailure(
      code,
      record,
      why,
      lines,
      this.#parts.hypervisor.complaintIn(record.driver, lines),
    );
  }

  /**
   * The agent's connection; null if the driver has no agent. Sends the guest its metadata if it has a service for them,
   * and then its manifest if it did not fit on the command line: `manifestOverChannel` returns it, or null.
   */
  agent(
    record: VmRecord,
    manifestOverChannel: () => string | null,
    process: WatchedProcess,
  ): AgentConnection | null {
    const agent = this.#parts.hypervisor.agent(record.driver, this.#parts.runDirectory(record.id));
    if (agent === null) return agent;
    const abort = new AbortController();
    void process.exited.then(() => abort.abort(new Error('the hypervisor ended')));
    this.#send(record, agent, manifestOverChannel(), abort.signal).catch((error: unknown) => {
      this.#parts.log.warn(
        { vm: record.name, err: error },
        'the manifest could not be sent to the agent',
      );
    });
    return agent;
  }

  /** A workload that has a metadata service is started when that can answer. */
  async #send(
    { id }: VmRecord,
    agent: AgentConnection,
    manifest: string | null,
    ended: AbortSignal,
  ): Promise<void> {
    await this.#parts.metadata.serve(id, agent, ended);
    if (manifest !== null) await agent.sendManifest(manifest, ended);
  }

  /** The hypervisor's stderr tail: the last lines that it wrote, for an error or an event. */
  stderrTail(vmId: number): Promise<readonly string[]> {
    return this.#parts.host.readLogTail(
      `${this.#parts.runDirectory(vmId)}/${RUN_FILES.hypervisorLog}`,
    );
  }
}
