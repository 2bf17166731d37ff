// ui, pages: the list of deployments.

import type { Deployment } from '../../../src/client/types.ts';
import { go, to } from '../../base/router.ts';
import { api } from '../../data/api.ts';
import { useResource } from '../../data/resource.ts';
import { Empty, Failure, Loading } from '../../parts/states.tsx';
import { StatusBadge } from '../../parts/status-badge.tsx';
import { type Column, Table } from '../../parts/table.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';
import { concernsDeployments, stateOf } from './deployment-state.ts';

const COLUMNS: readonly Column<Deployment>[] = [
  {
    id: 'name',
    title: 'Name',
    width: 'minmax(9rem, 2fr)',
    // Enter on the row opens it, so Tab need not stop at each.
    cell: ({ name }) => (
      <a href={to(['deployments', name])} tabIndex={-1}>
        {name}
      </a>
    ),
  },
  {
    id: 'state',
    title: 'State',
    width: 'minmax(7rem, 1fr)',
    cell: (deployment) => {
      const { word, tone, message } = stateOf(deployment);
      return <StatusBadge status={word} tone={tone} title={message} />;
    },
  },
  {
    id: 'ready',
    title: 'Ready',
    width: '5rem',
    align: 'end',
    cell: ({ ready_replicas, desired_replicas }) => `${ready_replicas} / ${desired_replicas}`,
  },
  {
    id: 'plugin',
    title: 'Plugin',
    width: 'minmax(6rem, 1fr)',
    hideBelow: 'phone',
    cell: ({ config }) => config.plugin ?? '–',
  },
  {
    id: 'revision',
    title: 'Revision',
    width: '5.5rem',
    align: 'end',
    hideBelow: 'tablet',
    cell: ({ revision }) => revision,
  },
  {
    id: 'updated',
    title: 'Changed',
    width: '7.5rem',
    align: 'end',
    hideBelow: 'tablet',
    cell: ({ updated_at }) => <TimeAgo at={updated_at} />,
  },
];

export function Page() {
  const [list, reload] = useResource(
    'deployments',
    (signal) => api().deployments.list({ signal }),
    concernsDeployments,
  );
  return (
    <section class="page page-full" aria-labelledby="page-title">
      <div class="page-head">
        <h1 id="page-title">
          Deployments <span class="count">{list.state === 'ready' ? list.value.length : ''}</span>
        </h1>
        <a class="button" href={to(['create', 'deployment'])}>
          Create a deployment
        </a>
      </div>
      {list.state === 'loading' && <Loading what="deployments" />}
      {list.state === 'failed' && (
        <Failure what="The list of deployments" error={list.error} onRetry={reload} />
      )}
      {list.state === 'ready' && (
        <Table
          label="Deployments"
          columns={COLUMNS}
          rows={list.value}
          keyOf={({ name }) => name}
          onOpen={({ name }) => go(['deployments', name])}
          empty={<Empty title="There are no deployments yet" />}
        />
      )}
    </section>
  );
}
