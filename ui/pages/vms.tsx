// ui, pages: the list of VMs. It shows the store, which follows the events, so nothing is read here.

import { useComputed, useSignal } from '@preact/signals';
import type { Vm, VmStatus } from '../../src/schema/vm.ts';
import { go, place, replaceQuery, to } from '../base/router.ts';
import { useShortcuts } from '../base/shortcuts.ts';
import { mebibytes } from '../base/time.ts';
import { allVms, isVmStatus, reloadVms, vmListState } from '../data/vm-store.ts';
import { Search } from '../parts/search.tsx';
import { Empty, Failure, Loading } from '../parts/states.tsx';
import { StatusBadge } from '../parts/status-badge.tsx';
import { type Column, Table } from '../parts/table.tsx';
import { TimeAgo } from '../parts/time-ago.tsx';
import { actOn, VM_ACTIONS, type VmAction } from './vm-actions.ts';
import { countsByStatus, matching, queryOf, shownVms, type VmsView, viewIn } from './vms-view.ts';

const COLUMNS: readonly Column<Vm>[] = [
  {
    id: 'name',
    title: 'Name',
    width: 'minmax(9rem, 2fr)',
    isSortable: true,
    // Enter on the row opens it, so Tab need not stop at each.
    cell: ({ name }) => (
      <a href={to(['vms', name])} tabIndex={-1}>
        {name}
      </a>
    ),
  },
  {
    id: 'status',
    title: 'Status',
    width: 'minmax(7rem, 1fr)',
    isSortable: true,
    cell: (vm) => <VmStatusCell vm={vm} />,
  },
  {
    id: 'plugin',
    title: 'Plugin',
    width: 'minmax(6rem, 1fr)',
    isSortable: true,
    hideBelow: 'phone',
    cell: ({ plugin }) => plugin,
  },
  {
    id: 'address',
    title: 'Address',
    width: 'minmax(8rem, 1fr)',
    isSortable: true,
    hideBelow: 'phone',
    cell: ({ ip_address }) => <span class="mono">{ip_address || '–'}</span>,
  },
  {
    id: 'cores',
    title: 'CPU',
    width: '4.5rem',
    align: 'end',
    isSortable: true,
    hideBelow: 'tablet',
    cell: ({ cpu_cores }) => cpu_cores,
  },
  {
    id: 'memory',
    title: 'Memory',
    width: '6rem',
    align: 'end',
    isSortable: true,
    hideBelow: 'tablet',
    cell: ({ memory_mb }) => mebibytes(memory_mb),
  },
  {
    id: 'updated',
    title: 'Changed',
    width: '7.5rem',
    align: 'end',
    isSortable: true,
    hideBelow: 'tablet',
    cell: ({ updated_at }) => <TimeAgo at={updated_at} />,
  },
];

/** Something that is not as it should be is shown beside the status, in a word. */
function VmStatusCell({ vm }: { readonly vm: Vm }) {
  const trouble = vm.conditions.find(({ status }) => !status);
  return (
    <>
      <StatusBadge status={vm.status} title={vm.status_reason} />
      {trouble !== undefined && vm.status === 'running' && (
        <StatusBadge status="degraded" tone="warn" title={trouble.message} />
      )}
    </>
  );
}

const CREATE = to(['create', 'vm']);

const KEYS = [{ keys: 'c', label: 'Create a VM', run: () => (location.hash = CREATE) }];

export function Page() {
  useShortcuts(KEYS);
  const state = vmListState.value;
  const view = useComputed(() => viewIn(place.value.query, isVmStatus));
  const found = useComputed(() => matching(allVms.value, view.value.text));
  const rows = useComputed(() => shownVms(found.value, view.value));
  const selection = useSignal<ReadonlySet<string>>(new Set());
  const selected = useComputed(() => allVms.value.filter(({ name }) => selection.value.has(name)));
  const change = (part: Partial<VmsView>) => replaceQuery(queryOf({ ...view.value, ...part }));
  const clear = () => (selection.value = new Set());
  // At its begin: what is selected while it runs is for the next action.
  const act = (action: VmAction) => actOn(action, selected.value, clear);
  return (
    <section class="page page-full" aria-labelledby="page-title">
      <div class="page-head">
        <h1 id="page-title">
          VMs <span class="count">{allVms.value.length}</span>
        </h1>
        <Search
          label="Search by name, plugin or address"
          placeholder="Name, plugin, address"
          text={view.value.text}
          onText={(text) => change({ text })}
        />
        <a class="button" href={CREATE}>
          Create a VM
        </a>
      </div>
      <StatusFilter
        counts={countsByStatus(found.value)}
        total={found.value.length}
        chosen={view.value.status}
        onChoose={(status) => change({ status })}
      />
      <Selected vms={selected.value} onAct={act} onClear={clear} />
      {state.state === 'failed' && (
        <Failure what="The list of VMs" error={state.error} onRetry={reloadVms} />
      )}
      {state.state === 'loading' && <Loading what="VMs" />}
      {state.state === 'ready' && (
        <Table
          label="VMs"
          columns={COLUMNS}
          rows={rows.value}
          keyOf={({ name }) => name}
          sorting={view.value.sorting}
          onSort={(sorting) => change({ sorting })}
          selection={selection.value}
          onSelect={(chosen) => (selection.value = chosen)}
          onOpen={({ name }) => go(['vms', name])}
          empty={<NoVms isFiltered={allVms.value.length > 0} />}
        />
      )}
    </section>
  );
}

function NoVms({ isFiltered }: { readonly isFiltered: boolean }) {
  if (isFiltered) return <Empty title="No VM fits the search and the filter" />;
  return (
    <Empty title="There are no VMs yet">
      <p>
        <a href={CREATE}>Create the first one</a>, or do it in a terminal:{' '}
        <code>volar vms create first --plugin hello</code>
      </p>
    </Empty>
  );
}

interface StatusFilterProps {
  readonly counts: ReadonlyMap<VmStatus, number>;
  readonly total: number;
  readonly chosen: VmStatus | null;
  readonly onChoose: (status: VmStatus | null) => void;
}

const ALWAYS_SHOWN: readonly VmStatus[] = ['running', 'stopped', 'crashed'];
const SHOWN_IF_ANY: readonly VmStatus[] = ['pending', 'starting', 'stopping', 'deleting'];

function StatusFilter({ counts, total, chosen, onChoose }: StatusFilterProps) {
  const others = SHOWN_IF_ANY.filter((status) => counts.has(status) || status === chosen);
  return (
    <fieldset class="chips" aria-label="Filter by status">
      <Chip label="all" count={total} isOn={chosen === null} onClick={() => onChoose(null)} />
      {[...ALWAYS_SHOWN, ...others].map((status) => (
        <Chip
          key={status}
          label={status}
          count={counts.get(status) ?? 0}
          isOn={chosen === status}
          onClick={() => onChoose(chosen === status ? null : status)}
        />
      ))}
    </fieldset>
  );
}

interface ChipProps {
  readonly label: string;
  readonly count: number;
  readonly isOn: boolean;
  readonly onClick: () => void;
}

function Chip({ label, count, isOn, onClick }: ChipProps) {
  return (
    <button type="button" class="chip" aria-pressed={isOn} onClick={onClick}>
      {label} <span class="chip-count">{count}</span>
    </button>
  );
}

interface SelectedProps {
  readonly vms: readonly Vm[];
  readonly onAct: (action: VmAction) => void;
  readonly onClear: () => void;
}

const BULK: readonly VmAction[] = ['start', 'stop', 'delete'];

function Selected({ vms, onAct, onClear }: SelectedProps) {
  if (vms.length === 0) return null;
  return (
    <div class="bar" role="toolbar" aria-label="Actions for the selected VMs">
      <span>{vms.length} selected</span>
      {BULK.map((action) => (
        <button
          key={action}
          type="button"
          class={action === 'delete' ? 'danger' : ''}
          disabled={!vms.some(VM_ACTIONS[action].fits)}
          onClick={() => onAct(action)}
        >
          {VM_ACTIONS[action].label}
        </button>
      ))}
      <button type="button" class="quiet" onClick={onClear}>
        Clear
      </button>
    </div>
  );
}
