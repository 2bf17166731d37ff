// engine: what the daemon tells about itself and its host.

import type { Config } from '../config.ts';
import { VERSION } from '../lib/version.ts';
import type { RecoveryReport, SystemApi, SystemInfo, SystemStatus } from './engine-api.ts';
import type { HostFacts } from './host-facts.ts';
import type { HostPort } from './ports.ts';
import type { State } from './state.ts';

export class System implements SystemApi {
  readonly #config: Config;
  readonly #host: HostPort;
  readonly #hostFacts: HostFacts;
  readonly #state: State;
  /** Set once recovery is done. */
  recovery: RecoveryReport | null = null;

  constructor(parts: { config: Config; host: HostPort; hostFacts: HostFacts; state: State }) {
    this.#config = parts.config;
    this.#host = parts.host;
    this.#hostFacts = parts.hostFacts;
    this.#state = parts.state;
  }

  healthy(): boolean {
    return this.#state.store.healthy;
  }

  async status(): Promise<SystemStatus> {
    const { cpuPercent, memPercent } = await this.#host.usage();
    return { vm_count: this.#state.vms.size, cpu_percent: cpuPercent, mem_percent: memPercent };
  }

  async info(): Promise<SystemInfo> {
    const [hypervisor, kernel] = await Promise.all([
      this.#hostFacts.hypervisor().catch(problemOf),
      this.#host.findKernel().then(({ realPath }) => ({ path: realPath }), problemOf),
    ]);
    return {
      version: VERSION,
      host_ip: this.#config.hostIp,
      bridge: this.#config.bridge,
      subnet: this.#hostFacts.networkSpec.subnet,
      hypervisor,
      kernel,
      recovery: this.recovery,
    };
  }
}

/** A missing thing is a fact about the host here, not a failure of the request. */
function problemOf(error: unknown): { readonly error: string } {
  return { error: error instanceof Error ? error.message : String(error) };
}
