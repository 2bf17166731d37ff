// ui, pages: the list of plugins.

import type { SystemSummary } from '../../../src/client/types.ts';
import { go, to } from '../../base/router.ts';
import { api } from '../../data/api.ts';
import { useResource } from '../../data/resource.ts';
import { Empty, Failure, Loading } from '../../parts/states.tsx';
import { StatusBadge } from '../../parts/status-badge.tsx';
import { type Column, Table } from '../../parts/table.tsx';

type Plugin = SystemSummary['plugins'][number];

const COLUMNS: readonly Column<Plugin>[] = [
  {
    id: 'name',
    title: 'Name',
    width: 'minmax(9rem, 2fr)',
    cell: ({ name }) => <a href={to(['plugins', name])}>{name}</a>,
  },
  { id: 'version', title: 'Version', width: 'minmax(5rem, 1fr)', cell: ({ version }) => version },
  {
    id: 'enabled',
    title: 'State',
    width: 'minmax(7rem, 1fr)',
    cell: ({ enabled }) => (
      <StatusBadge status={enabled ? 'enabled' : 'disabled'} tone={enabled ? 'good' : 'idle'} />
    ),
  },
];

export function Page() {
  const [summary, reload] = useResource(
    'plugins',
    (signal) => api().system.summary({ signal }),
    ({ type }) => type.startsWith('PLUGIN_'),
  );
  return (
    <section class="page page-full" aria-labelledby="page-title">
      <div class="page-head">
        <h1 id="page-title">
          Plugins{' '}
          <span class="count">{summary.state === 'ready' ? summary.value.total_plugins : ''}</span>
        </h1>
        <a class="button" href={to(['create', 'plugin'])}>
          Create a plugin
        </a>
      </div>
      {summary.state === 'loading' && <Loading what="plugins" />}
      {summary.state === 'failed' && (
        <Failure what="The list of plugins" error={summary.error} onRetry={reload} />
      )}
      {summary.state === 'ready' && (
        <Table
          label="Plugins"
          columns={COLUMNS}
          rows={summary.value.plugins}
          keyOf={({ name }) => name}
          onOpen={({ name }) => go(['plugins', name])}
          empty={<Empty title="There are no plugins yet" />}
        />
      )}
    </section>
  );
}
