// engine, stats: what the parts of the engine know of themselves, as metrics.

import { counter, type Family, gauge, info } from '../../lib/metrics/family.ts';
import { VERSION } from '../../lib/version.ts';
import type { Queue } from '../../schema/stats.ts';
import { VM_STATUSES } from '../../schema/vm.ts';
import type { Boots } from '../boots/boots.ts';
import type { Budget } from '../budget/budget.ts';
import type { Deployments } from '../deployments/deployments.ts';
import type { AddressPool } from '../network/addresses.ts';
import type { StatsHost } from '../ports/stats-ports.ts';
import type { PortPublisher } from '../published-ports/port-publisher.ts';
import type { Idempotency } from '../state/idempotency.ts';
import type { State } from '../state/state.ts';
import type { Health } from '../system/health.ts';
import type { Journal } from '../vms/journal.ts';
import type { Operations } from '../vms/operations.ts';

export interface EngineParts {
  readonly state: State;
  readonly deployments: Pick<Deployments, 'size'>;
  readonly publisher: Pick<PortPublisher, 'portCount' | 'losses'>;
  readonly addresses: Pick<AddressPool, 'counts'>;
  readonly budget: Pick<Budget, 'report'>;
  readonly boots: Pick<Boots, 'queue' | 'counts'>;
  readonly operations: Pick<Operations, 'queues'>;
  readonly journal: Pick<Journal, 'families'>;
  readonly idempotency: Pick<Idempotency, 'kept'>;
  readonly health: Pick<Health, 'report'>;
  readonly host: Pick<StatsHost, 'queues'>;
}

const MIB = 2 ** 20;

export function queuesOf({ operations, boots, host }: EngineParts): readonly Queue[] {
  return [...operations.queues(), boots.queue, ...host.queues()];
}

export function engineFamilies(parts: EngineParts): readonly Family[] {
  const { state, deployments, journal } = parts;
  const { status } = state.vms.counts();
  return [
    info({ name: 'volant_build', help: 'The version of the daemon', labels: ['version'] }, [
      VERSION,
    ]),
    ...processFamilies(),
    gauge(
      { name: 'volant_vms', help: 'VMs, by status', labels: ['status'] },
      VM_STATUSES.map((one) => [[one], status[one] ?? 0] as const),
    ),
    gauge({ name: 'volant_deployments', help: 'Deployments' }, deployments.size),
    ...journal.families(),
    ...capacityFamilies(parts),
    ...keptFamilies(parts),
    ...state.store.families(),
  ];
}

/** Under the names that all client libraries of Prometheus use. */
function processFamilies(): readonly Family[] {
  const { user, system } = process.cpuUsage();
  const startedSeconds = Math.round(performance.timeOrigin) / 1000;
  return [
    counter(
      { name: 'process_cpu_seconds', help: 'CPU time of the threads of the daemon' },
      (user + system) / 1e6,
    ),
    gauge(
      { name: 'process_resident_memory_bytes', help: 'Memory of the host that the daemon has' },
      process.memoryUsage.rss(),
    ),
    gauge(
      { name: 'process_start_time_seconds', help: 'When the daemon was started, since 1970' },
      startedSeconds,
    ),
    gauge(
      { name: 'volant_heap_used_bytes', help: 'Memory of the objects of the main thread' },
      process.memoryUsage().heapUsed,
    ),
  ];
}

function capacityFamilies({ budget, addresses, publisher, boots }: EngineParts): readonly Family[] {
  const { report } = budget;
  const { leased, usable } = addresses.counts;
  const { full, unanswered } = publisher.losses;
  const limitBytes = report.memory_limit_mb === null ? null : report.memory_limit_mb * MIB;
  return [
    gauge(
      { name: 'volant_budget_memory_used_bytes', help: 'Memory of the host that VMs may take' },
      report.memory_used_mb * MIB,
    ),
    gauge(
      {
        name: 'volant_budget_memory_limit_bytes',
        help: 'Maximum of it for all VMs; without a sample if there is no bound',
      },
      limitBytes,
    ),
    gauge({ name: 'volant_budget_vcpus_used', help: 'vCPUs of VMs' }, report.vcpus_used),
    gauge(
      {
        name: 'volant_budget_vcpus_limit',
        help: 'Maximum of vCPUs for all VMs; without a sample if there is no bound',
      },
      report.vcpus_limit,
    ),
    gauge({ name: 'volant_addresses_leased', help: 'Addresses that VMs have' }, leased),
    gauge({ name: 'volant_addresses_usable', help: 'Addresses that VMs can have' }, usable),
    gauge(
      { name: 'volant_published_ports', help: 'Ports of the host that lead to guests' },
      publisher.portCount,
    ),
    counter(
      {
        name: 'volant_published_port_connections_refused',
        help: 'Connections to published ports that no guest accepted, by reason',
        labels: ['reason'],
      },
      [
        [['full'], full],
        [['unanswered'], unanswered],
      ],
    ),
    counter(
      {
        name: 'volant_boots_relaunched',
        help: 'Guests that hung in their boot or came up with a broken clock, and were launched again',
      },
      boots.counts.relaunched,
    ),
  ];
}

function keptFamilies({ idempotency, state }: EngineParts): readonly Family[] {
  const { keys, bytes } = idempotency.kept;
  const { records, bodyCharacters } = state.vms.cached;
  return [
    gauge({ name: 'volant_idempotency_keys', help: 'Requests whose answers are kept' }, keys),
    gauge({ name: 'volant_idempotency_bytes', help: 'Size of the answers that are kept' }, bytes),
    gauge(
      {
        name: 'volant_cached_records',
        help: 'Records of VMs at rest that are kept in memory',
      },
      records,
    ),
    gauge(
      {
        name: 'volant_cached_body_characters',
        help: 'Length of the answers about VMs at rest that are kept in memory',
      },
      bodyCharacters,
    ),
  ];
}

/** What GET /healthz says. */
export async function healthFamilies({ health }: EngineParts): Promise<readonly Family[]> {
  const { reasons } = await health.report();
  return [
    gauge(
      { name: 'volant_healthy', help: '1 while the daemon works normally, else 0' },
      reasons.length === 0 ? 1 : 0,
    ),
    gauge(
      {
        name: 'volant_health_problem',
        help: '1 for each reason why the daemon does not work normally',
        labels: ['reason'],
      },
      reasons.map((reason) => [[reason], 1] as const),
    ),
  ];
}
