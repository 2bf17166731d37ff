// engine, system: what the daemon reports about itself and its host.

import { LIMITS } from '../../config/limits.ts';
import { firstUidOf } from '../../config/readers.ts';
import type { Config } from '../../config.ts';
import { toTimestamp } from '../../lib/clock.ts';
import { VERSION } from '../../lib/version.ts';
import type { Audit } from '../audit/audit.ts';
import type { Boots } from '../boots/boots.ts';
import type { Budget } from '../budget/budget.ts';
import { type HostFacts, NO_NAME_SERVERS } from '../facts/host-facts.ts';
import type { Plugins } from '../plugins/plugins.ts';
import type { HostPorts } from '../ports/host-ports.ts';
import type { HypervisorFacts } from '../ports/process-ports.ts';
import type { PortPublisher } from '../published-ports/port-publisher.ts';
import type { State } from '../state/state.ts';
import type {
  AuditReport,
  HealthReport,
  RecoveryReport,
  ShownHypervisor,
  SystemApi,
  SystemInfo,
  SystemStatus,
  SystemSummary,
} from '../system-api.ts';
import type { Health } from './health.ts';

export class System implements SystemApi {
  readonly #config: Config;
  readonly #host: Pick<HostPorts, 'media' | 'system'>;
  readonly #hostFacts: HostFacts;
  readonly #state: State;
  readonly #plugins: Plugins;
  readonly #boots: Pick<Boots, 'counts'>;
  readonly #budget: Budget;
  readonly #publisher: Pick<PortPublisher, 'losses'>;
  readonly #audit: Audit;
  readonly #health: Health;
  /** Set once recovery is done. */
  recovery: RecoveryReport | null = null;

  constructor(parts: {
    config: Config;
    host: Pick<HostPorts, 'media' | 'system'>;
    hostFacts: HostFacts;
    state: State;
    plugins: Plugins;
    boots: Pick<Boots, 'counts'>;
    budget: Budget;
    publisher: Pick<PortPublisher, 'losses'>;
    audit: Audit;
    health: Health;
  }) {
    this.#config = parts.config;
    this.#host = parts.host;
    this.#hostFacts = parts.hostFacts;
    this.#state = parts.state;
    this.#plugins = parts.plugins;
    this.#boots = parts.boots;
    this.#budget = parts.budget;
    this.#publisher = parts.publisher;
    this.#audit = parts.audit;
    this.#health = parts.health;
  }

  health(): Promise<HealthReport> {
    return this.#health.report();
  }

  async status(): Promise<SystemStatus> {
    const { cpuPercent, memPercent } = await this.#host.system.usage();
    return {
      vm_count: this.#state.vms.size,
      cpu_percent: cpuPercent,
      mem_percent: memPercent,
      budget: this.#budget.report,
    };
  }

  summary(namePrefix = ''): SystemSummary {
    const manifests = this.#plugins.list().map((name) => this.#plugins.get(name));
    return {
      ...this.#vmCounts(namePrefix),
      total_plugins: manifests.length,
      enabled_plugins: manifests.filter(({ enabled }) => enabled).length,
      plugins: manifests.map(({ name, version, enabled }) => ({ name, version, enabled })),
    };
  }

  #vmCounts(namePrefix: string): Pick<SystemSummary, 'total_vms' | 'by_status' | 'by_runtime'> {
    const { vms } = this.#state;
    if (namePrefix === '') {
      const { status, runtime } = vms.counts();
      return { total_vms: vms.size, by_status: status, by_runtime: runtime };
    }
    const own = [...vms.summaries()].filter(({ name }) => name.startsWith(namePrefix));
    return {
      total_vms: own.length,
      by_status: countBy(own.map(({ status }) => status)),
      by_runtime: countBy(own.map(({ runtime }) => runtime.toLowerCase())),
    };
  }

  audit(repair: boolean): Promise<AuditReport> {
    return this.#audit.run(repair);
  }

  async readDocument(path: string): Promise<string> {
    return Buffer.from(await this.#host.media.readDocument(path)).toString();
  }

  documentToJson(text: string): Promise<string> {
    return this.#host.media.documentToJson(text);
  }

  backup() {
    return this.#state.store.backup();
  }

  async info(): Promise<SystemInfo> {
    const [hypervisor, kernel, nameServers] = await Promise.all([
      this.#hostFacts.hypervisor().catch(problemOf),
      this.#host.media.findKernel().then(({ realPath }) => ({ path: realPath }), problemOf),
      this.#hostFacts.nameServers().then(describeNameServers, (error: unknown) => ({
        servers: [],
        problem: problemOf(error).error,
      })),
    ]);
    return {
      version: VERSION,
      host_ip: this.#config.hostIp,
      bridge: this.#config.bridge,
      subnet: this.#hostFacts.networkSpec.subnet,
      hypervisor: 'error' in hypervisor ? hypervisor : shown(hypervisor),
      kernel,
      name_servers: nameServers,
      boots: this.#boots.counts,
      refused_connections: this.#publisher.losses,
      isolation: isolationOf(this.#config),
      recovery: this.recovery,
    };
  }
}

function describeNameServers(servers: readonly string[]): SystemInfo['name_servers'] {
  return servers.length === 0 ? { servers, problem: NO_NAME_SERVERS } : { servers };
}

function shown({ kvmTrial, ...facts }: HypervisorFacts): ShownHypervisor {
  if (kvmTrial === null) return { ...facts, kvmTrial };
  const { result, reason, tries, triedAtMs } = kvmTrial;
  return { ...facts, kvmTrial: { result, reason, tries, triedAt: toTimestamp(triedAtMs) } };
}

/** The user ids of hypervisors that are launched from now on. An adopted hypervisor keeps its own. */
function isolationOf(config: Config): SystemInfo['isolation'] {
  const mode = config.isolation;
  if (mode === 'off') return { mode, first_uid: null, last_uid: null };
  const firstUid = firstUidOf(config, LIMITS.hypervisorUidsMax);
  return { mode, first_uid: firstUid, last_uid: firstUid + LIMITS.hypervisorUidsMax - 1 };
}

function countBy(keys: readonly string[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return Object.fromEntries(counts);
}

/** A missing thing is a fact about the host here, so the request does not fail. */
function problemOf(error: unknown): { readonly error: string } {
  return { error: error instanceof Error ? error.message : String(error) };
}
