// ui, pages: what happens, as it happens, and what happened before. Filters are in the address of the page.

import { useEffect, useState } from 'preact/hooks';
import type { VolantEvent } from '../../src/client/types.ts';
import { go, place, replaceQuery, to } from '../base/router.ts';
import { exact } from '../base/time.ts';
import { useEvents } from '../data/past-events.ts';
import { Search } from '../parts/search.tsx';
import { Empty, Failure, Loading } from '../parts/states.tsx';
import { type Column, Table } from '../parts/table.tsx';

/** Newer ones take the place of the oldest. */
const SHOWN_MAX = 2_000;

const KINDS = {
  VM: 'VMs',
  DEPLOYMENT: 'Deployments',
  CONFIG: 'Configs',
  PLUGIN: 'Plugins',
  MEDIA: 'Images and disks',
  HOST: 'Host',
  DEVICE: 'Devices',
} as const;

const kindOf = (type: string): string => type.split('_')[0] ?? '';

/** An event is about an object of its kind, which its name is the name of. */
function subjectOf({ type, name, deployment }: VolantEvent): readonly string[] | null {
  const kind = kindOf(type);
  if (kind === 'DEPLOYMENT') return ['deployments', deployment ?? name];
  if (kind === 'PLUGIN') return ['plugins', name];
  return ['VM', 'CONFIG', 'MEDIA'].includes(kind) || type.startsWith('HOST_PORT')
    ? ['vms', name]
    : null;
}

function Subject({ event }: { readonly event: VolantEvent }) {
  const target = event.type === 'VM_DELETED' ? null : subjectOf(event);
  return target === null || event.name === '' ? (
    <span>{event.name}</span>
  ) : (
    <a href={to(target)}>{event.name}</a>
  );
}

const COLUMNS: readonly Column<VolantEvent>[] = [
  {
    id: 'time',
    title: 'Time',
    width: '12.5rem',
    hideBelow: 'tablet',
    cell: ({ timestamp }) => (
      <time dateTime={timestamp} title={timestamp}>
        {exact(timestamp)}
      </time>
    ),
  },
  {
    id: 'type',
    title: 'Event',
    width: 'minmax(10rem, 1fr)',
    cell: ({ type, timestamp }) => (
      <span class="mono" title={timestamp}>
        {type}
      </span>
    ),
  },
  {
    id: 'name',
    title: 'About',
    width: 'minmax(8rem, 1fr)',
    cell: (event) => <Subject event={event} />,
  },
  {
    id: 'message',
    title: 'Message',
    width: 'minmax(8rem, 3fr)',
    hideBelow: 'phone',
    cell: ({ message }) => <span title={message}>{message ?? ''}</span>,
  },
];

const FILTERS = ['kind', 'vm', 'deployment', 'q'] as const;

type Filters = Readonly<Record<(typeof FILTERS)[number], string>>;

const ALL = () => true;

export function Page() {
  const [events, reload] = useEvents('all', {}, ALL);
  const { query } = place.value;
  const filters = Object.fromEntries(
    FILTERS.map((name) => [name, query.get(name) ?? '']),
  ) as Filters;
  const change = (part: Partial<Filters>) => replaceQuery({ ...filters, ...part });
  const all = events.state === 'ready' ? events.value : [];
  const [held, setHeld] = useState<readonly VolantEvent[] | null>(null);
  const newer = held === null ? 0 : all.filter(({ id }) => !held.some((e) => e.id === id)).length;
  const shown = (held ?? all)
    .filter((event) => fits(event, filters))
    .slice(-SHOWN_MAX)
    .reverse();
  useEffect(() => {
    if (events.state === 'loading') setHeld(null);
  }, [events.state]);
  const open = (event: VolantEvent) => {
    const target = subjectOf(event);
    if (target !== null) go(target);
  };
  return (
    <section class="page page-full" aria-labelledby="page-title">
      <div class="page-head">
        <h1 id="page-title">
          Events <span class="count">{shown.length}</span>
        </h1>
        <button
          type="button"
          aria-pressed={held !== null}
          onClick={() => setHeld(held === null ? all : null)}
        >
          {held === null ? 'Pause' : `Resume${newer > 0 ? ` (${newer} new)` : ''}`}
        </button>
        <Search
          label="Search in type, name and message"
          placeholder="Type, name, message"
          text={filters.q}
          onText={(q) => change({ q })}
        />
      </div>
      <FilterLine filters={filters} onChange={change} />
      {events.state === 'loading' && <Loading what="events" />}
      {events.state === 'failed' && (
        <Failure what="The events" error={events.error} onRetry={reload} />
      )}
      {events.state === 'ready' && (
        <Table
          label="Events"
          columns={COLUMNS}
          rows={shown}
          keyOf={({ id, timestamp }) => String(id ?? timestamp)}
          onOpen={open}
          empty={<Empty title="No event fits the search and the filters" />}
        />
      )}
    </section>
  );
}

function fits(event: VolantEvent, { kind, vm, deployment, q }: Filters): boolean {
  if (kind !== '' && kindOf(event.type) !== kind) return false;
  if (vm !== '' && !event.name.includes(vm)) return false;
  if (deployment !== '' && event.deployment !== deployment) return false;
  const wanted = q.trim().toLowerCase();
  return (
    wanted === '' ||
    [event.type, event.name, event.message ?? ''].some((text) =>
      text.toLowerCase().includes(wanted),
    )
  );
}

interface FilterLineProps {
  readonly filters: Filters;
  readonly onChange: (part: Partial<Filters>) => void;
}

function FilterLine({ filters, onChange }: FilterLineProps) {
  return (
    <div class="fields-line">
      <label>
        Kind
        <select
          value={filters.kind}
          onChange={(event) => onChange({ kind: event.currentTarget.value })}
        >
          <option value="">All</option>
          {Object.entries(KINDS).map(([kind, label]) => (
            <option key={kind} value={kind}>
              {label}
            </option>
          ))}
        </select>
      </label>
      <label>
        Name has
        <input
          type="text"
          value={filters.vm}
          onInput={(event) => onChange({ vm: event.currentTarget.value })}
        />
      </label>
      <label>
        Deployment
        <input
          type="text"
          value={filters.deployment}
          onInput={(event) => onChange({ deployment: event.currentTarget.value })}
        />
      </label>
    </div>
  );
}
