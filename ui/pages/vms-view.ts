// ui, pages: which VMs the list shows, and in which order. Pure. The choice is kept in the address of the page, so that it
// can be sent to others and survives a reload.

import type { Vm, VmStatus } from '../../src/schema/vm.ts';
import type { Sorting } from '../parts/table.tsx';

export interface VmsView {
  readonly text: string;
  /** null: all. */
  readonly status: VmStatus | null;
  readonly sorting: Sorting;
}

const DEFAULT_SORT = 'name';

export function viewIn(
  query: URLSearchParams,
  isStatus: (text: string) => text is VmStatus,
): VmsView {
  const status = query.get('status') ?? '';
  const [, minus = '', by = ''] = /^(-?)(.*)$/.exec(query.get('sort') ?? DEFAULT_SORT) ?? [];
  return {
    text: query.get('q') ?? '',
    status: isStatus(status) ? status : null,
    sorting: { by: by in ORDERS ? by : DEFAULT_SORT, isDescending: minus !== '' },
  };
}

export function queryOf({ text, status, sorting }: VmsView): Record<string, string> {
  const sort = `${sorting.isDescending ? '-' : ''}${sorting.by}`;
  return { q: text, status: status ?? '', sort: sort === DEFAULT_SORT ? '' : sort };
}

const byText = new Intl.Collator('en', { numeric: true }).compare;

type Order = (one: Vm, other: Vm) => number;

const ORDERS: Readonly<Record<string, Order>> = {
  name: (one, other) => byText(one.name, other.name),
  status: (one, other) => byText(one.status, other.status),
  plugin: (one, other) => byText(one.plugin, other.plugin),
  address: (one, other) => byText(one.ip_address, other.ip_address),
  memory: (one, other) => one.memory_mb - other.memory_mb,
  cores: (one, other) => one.cpu_cores - other.cpu_cores,
  created: (one, other) => one.id - other.id,
  updated: (one, other) => (one.updated_at < other.updated_at ? -1 : 1),
};

/** VMs with the text in name, plugin, runtime or address, whatever their status is. */
export function matching(vms: readonly Vm[], text: string): readonly Vm[] {
  const wanted = text.trim().toLowerCase();
  if (wanted === '') return vms;
  return vms.filter(({ name, plugin, runtime, ip_address }) =>
    [name, plugin, runtime, ip_address].some((value) => value.toLowerCase().includes(wanted)),
  );
}

export function countsByStatus(vms: readonly Vm[]): ReadonlyMap<VmStatus, number> {
  const counts = new Map<VmStatus, number>();
  for (const { status } of vms) counts.set(status, (counts.get(status) ?? 0) + 1);
  return counts;
}

/** What the table shows, in its order. VMs that are equal are in the order of their names. */
export function shownVms(found: readonly Vm[], { status, sorting }: VmsView): readonly Vm[] {
  const chosen = status === null ? found : found.filter((vm) => vm.status === status);
  const order = ORDERS[sorting.by] ?? byName;
  const sign = sorting.isDescending ? -1 : 1;
  return chosen.toSorted((one, other) => sign * order(one, other) || byName(one, other));
}

const byName: Order = (one, other) => byText(one.name, other.name);
