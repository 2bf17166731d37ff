// engine, vm-list: what a list knows of each VM without its record, the sort orders of lists, and which VMs match a
// query. Pure.

import type { VmListQuery } from '../engine-api.ts';
import type { VmRecord, VmSummary } from '../records.ts';
import { needsLaunch } from '../vm-record/status.ts';

/** A VM in memory. There may be 100,000; a class keeps each small. */
export class Entry implements VmSummary {
  readonly id: number;
  readonly name: string;
  status: VmSummary['status'];
  plugin: string;
  runtime: string;
  ipAddress: string | null;
  hasTap: boolean;
  updatedAtMs: number;
  deployment: string | null;
  wantedState: VmSummary['wantedState'];
  needsLaunch: boolean;
  isReleased: boolean;
  hasProcess: boolean;
  deadline: VmSummary['deadline'];
  /** The revision of the last change of the record. */
  revision = 0;
  /** null: the VM is at rest, and its record is read on demand. */
  record: VmRecord | null = null;
  /** null: made on demand. */
  body: string | null = null;

  constructor(summary: VmSummary) {
    this.id = summary.id;
    this.name = summary.name;
    this.status = summary.status;
    this.plugin = summary.plugin;
    this.runtime = summary.runtime;
    this.ipAddress = summary.ipAddress;
    this.hasTap = summary.hasTap;
    this.updatedAtMs = summary.updatedAtMs;
    this.deployment = summary.deployment;
    this.wantedState = summary.wantedState;
    this.needsLaunch = summary.needsLaunch;
    this.isReleased = summary.isReleased;
    this.hasProcess = summary.hasProcess;
    this.deadline = summary.deadline;
  }
}

export type SortKey = VmListQuery['sort'];

export function summaryOf(record: VmRecord): VmSummary {
  const { id, name, status, plugin, runtime, leases, updatedAtMs, wanted, observed } = record;
  return {
    id,
    name,
    status,
    plugin,
    runtime,
    ipAddress: leases.ipAddress,
    hasTap: leases.tapName !== null,
    updatedAtMs,
    deployment: record.replica?.deployment ?? null,
    wantedState: wanted.state,
    needsLaunch: needsLaunch(record),
    isReleased: observed.isReleased,
    hasProcess: record.process !== null,
    deadline: record.deadline ?? null,
  };
}

/** A VM is at rest if the host has nothing of it and there is nothing to do for it. */
export function isAtRest(vm: VmSummary): boolean {
  return !vm.hasProcess && vm.isReleased && !vm.needsLaunch && vm.wantedState !== 'deleted';
}

/** The key of each sort order. VMs with equal keys are in the order of their ids. */
export const KEYS: Readonly<
  Record<Exclude<SortKey, 'created_at'> | 'plugin' | 'address', (vm: VmSummary) => string | number>
> = {
  name: (vm) => vm.name,
  status: (vm) => vm.status,
  runtime: (vm) => vm.runtime,
  updated_at: (vm) => vm.updatedAtMs,
  plugin: (vm) => vm.plugin,
  address: (vm) => vm.ipAddress ?? '',
};

export type OrderName = keyof typeof KEYS | 'created_at';

export function compareBy(order: OrderName): (a: VmSummary, b: VmSummary) => number {
  if (order === 'created_at') return (a, b) => a.id - b.id;
  const key = KEYS[order];
  return (a, b) => {
    const [keyA, keyB] = [key(a), key(b)];
    if (keyA === keyB) return a.id - b.id;
    return keyA < keyB ? -1 : 1;
  };
}

/** The texts of a search, in lower case except for the runtime. */
export function textsOf({ name, ipAddress }: VmSummary): readonly string[] {
  return ipAddress === null ? [name.toLowerCase()] : [name.toLowerCase(), ipAddress.toLowerCase()];
}

/** One part of a query; a VM matches if all parts match. */
export type Filter =
  | ValueFilter
  | { readonly kind: 'prefix'; readonly value: string }
  | { readonly kind: 'text'; readonly value: string };

/** A filter by whole values. */
export type ValueFilter =
  | { readonly kind: 'status'; readonly values: readonly string[] }
  | { readonly kind: 'runtime' | 'plugin'; readonly value: string };

/** An empty query matches every VM. Texts are in lower case, prefixes are not. */
export function filtersOf(query: VmListQuery): readonly Filter[] {
  const { statuses, namePrefix = '', runtime, plugin, text = '' } = query;
  const filters: Filter[] = [];
  if (statuses.length > 0) filters.push({ kind: 'status', values: [...new Set(statuses)].sort() });
  if (namePrefix !== '') filters.push({ kind: 'prefix', value: namePrefix });
  if (runtime !== undefined) filters.push({ kind: 'runtime', value: runtime.toLowerCase() });
  if (plugin !== undefined) filters.push({ kind: 'plugin', value: plugin.toLowerCase() });
  if (text !== '') filters.push({ kind: 'text', value: text.toLowerCase() });
  return filters;
}

/** Whether a VM matches all parts of a query. */
export function matcherOf(filters: readonly Filter[]): (vm: VmSummary) => boolean {
  const parts = filters.map(partOf);
  const [first, ...others] = parts;
  if (first === undefined) return () => true;
  return others.length === 0 ? first : (vm) => parts.every((means) => means(vm));
}

function partOf(filter: Filter): (vm: VmSummary) => boolean {
  if (filter.kind === 'status') return ({ status }) => filter.values.includes(status);
  const { kind, value } = filter;
  if (kind === 'prefix') return ({ name }) => name.startsWith(value);
  if (kind === 'runtime') return ({ runtime }) => runtime.toLowerCase() === value;
  if (kind === 'plugin') return ({ plugin }) => plugin.toLowerCase() === value;
  return ({ name, ipAddress, runtime }) =>
    name.toLowerCase().includes(value) ||
    ipAddress?.toLowerCase().includes(value) === true ||
    runtime.toLowerCase().includes(value);
}
