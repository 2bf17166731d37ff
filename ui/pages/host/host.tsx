// ui, pages: the host and the daemon: how they are, what they are, their load, and whether the host matches the records.

import { ApiError } from '../../../src/client/errors.ts';
import type { SystemInfo, SystemStatus } from '../../../src/client/types.ts';
import { mebibytes } from '../../base/time.ts';
import { api } from '../../data/api.ts';
import { useResource } from '../../data/resource.ts';
import { Facts } from '../../parts/facts.tsx';
import { Failure, Loading } from '../../parts/states.tsx';
import { StatusBadge } from '../../parts/status-badge.tsx';
import { Audit } from './audit.tsx';
import { Load } from './load.tsx';

interface Health {
  readonly status: string;
  readonly reasons?: readonly string[];
  readonly warnings?: readonly string[];
}

interface Host {
  readonly health: Health;
  readonly info: SystemInfo;
  readonly status: SystemStatus;
}

/** The answer of a daemon that is degraded has the status 503, and the same members. */
async function readHealth(signal: AbortSignal): Promise<Health> {
  try {
    return await api().system.health({ signal });
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 503) throw error;
    return error.body as Health;
  }
}

export function Page() {
  const [host, reload] = useResource<Host>(
    'host',
    async (signal) => ({
      health: await readHealth(signal),
      info: await api().system.info({ signal }),
      status: await api().system.status({ signal }),
    }),
    ({ type }) => /^(HOST_|VM_(RUNNING|STOPPED|CRASHED|DELETED))/.test(type),
  );
  return (
    <section class="page" aria-labelledby="page-title">
      <div class="page-head">
        <h1 id="page-title">Host</h1>
        {host.state === 'ready' && (
          <StatusBadge
            status={host.value.health.status}
            tone={host.value.health.status === 'ok' ? 'good' : 'bad'}
          />
        )}
      </div>
      {host.state === 'loading' && <Loading what="the host" />}
      {host.state === 'failed' && <Failure what="The host" error={host.error} onRetry={reload} />}
      {host.state === 'ready' && <Content host={host.value} />}
    </section>
  );
}

function Content({ host: { health, info, status } }: { readonly host: Host }) {
  return (
    <>
      {[...(health.reasons ?? []), ...(health.warnings ?? [])].map((reason) => (
        <p key={reason} class="notice">
          {HEALTH_TEXTS[reason] ?? reason} <span class="mono dim">{reason}</span>
        </p>
      ))}
      <Load />
      <h2>Budget</h2>
      <Facts facts={budgetFacts(status)} />
      <h2>Daemon</h2>
      <Facts facts={daemonFacts(info)} />
      <Audit />
    </>
  );
}

const HEALTH_TEXTS: Readonly<Record<string, string>> = {
  STORE_UNAVAILABLE: 'Records cannot be written.',
  STORE_STUCK: 'A write of records does not complete.',
  DISK_FULL: 'The disk of the records is full.',
  WORKERS_STUCK: 'No worker thread completes its job.',
  LOOP_STALLED: 'The event loop of the daemon stalled.',
  KEYS_FILE_BROKEN: 'The file of API keys was changed and cannot be used; its earlier content is.',
  TLS_FILES_BROKEN: 'The TLS files were changed and cannot be used; their earlier content is.',
  JOBS_HANGING: 'Operations on the host do not complete; others continue.',
};

function budgetFacts({ vm_count, budget }: SystemStatus) {
  const { memory_used_mb, memory_limit_mb, memory_total_mb, vcpus_used, vcpus_limit } = budget;
  const limit = memory_limit_mb === null ? 'no bound' : `of ${mebibytes(memory_limit_mb)}`;
  return {
    VMs: vm_count,
    'Memory of VMs': `${mebibytes(memory_used_mb)} ${limit}`,
    'Memory of the host': mebibytes(memory_total_mb),
    'vCPUs of VMs': `${vcpus_used} ${vcpus_limit === null ? 'no bound' : `of ${vcpus_limit}`}`,
    'CPU cores of the host': budget.cpu_cores,
  };
}

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;

function daemonFacts({
  version,
  api_listen_addr,
  host_ip,
  bridge,
  subnet,
  hypervisor,
  kernel,
  isolation,
  supervisor,
  boots,
}: SystemInfo) {
  return {
    Version: version,
    'Listens on': api_listen_addr,
    'Address for guests': host_ip,
    Bridge: `${bridge}, ${subnet}`,
    Hypervisor:
      [hypervisor['driver'], hypervisor['version']].map(textOf).filter(Boolean).join(' ') ||
      (textOf(hypervisor['error']) ?? 'unknown'),
    Accelerator: textOf(hypervisor['accelerator']) ?? '–',
    'Guest kernel': textOf(kernel['path']) ?? textOf(kernel['error']) ?? '–',
    Isolation: isolation.mode,
    Supervisor: supervisor.unit ?? supervisor.kind,
    'Guests that boot': `${boots.booting}, ${boots.waiting} wait`,
  };
}
