// ui, data: all VMs, as a list of the API and the events since then make them. An event changes the status at once; what an
// event does not have is read again, VM by VM, or all of them when many have changed.

import { signal } from '@preact/signals';
import { ApiError } from '../../src/client/errors.ts';
import type { VolantEvent } from '../../src/client/types.ts';
import type { Vm, VmStatus } from '../../src/schema/vm.ts';
import { api } from './api.ts';
import { subscribe } from './event-feed.ts';

export type ListState =
  | { readonly state: 'loading' }
  | { readonly state: 'ready' }
  | { readonly state: 'failed'; readonly error: Error };

const PAGE = 1_000;
/** Pages overlap by so many, because a VM that is deleted meanwhile moves those after it. */
const OVERLAP = 20;
const LISTS_MAX = 3;
/** Changes within this time are read together. */
const REFRESH_MS = 250;
/** More changed VMs are read by a new list, and lists are at least so far apart. */
const SINGLE_READS_MAX = 40;
const PARALLEL_READS = 3;
const LIST_INTERVAL_MS = 4_000;
/** Names that events were seen of, deleted ones too; a new list forgets them. */
const SEEN_MAX = 50_000;

const vms = new Map<string, Vm>();
/** VMs to read again, and how many events of a VM were seen: what was read before the latest is old. */
const stale = new Set<string>();
const seen = new Map<string, number>();
let refreshTimer: ReturnType<typeof setTimeout> | undefined;
let isShowDue = false;
let listing: AbortController | null = null;
let listedAtMs = Number.NEGATIVE_INFINITY;

export const vmListState = signal<ListState>({ state: 'loading' });

/** All VMs, in no order. A new array after each change, but at most one for each frame. */
export const allVms = signal<readonly Vm[]>([]);

export const isVmStatus = (text: string): text is VmStatus =>
  /^(pending|starting|running|stopping|stopped|crashed|deleting)$/.test(text);

/** Begins to follow; the list is read when the stream of events is open. Returns a function that ends it. */
export function followVms(): () => void {
  const end = subscribe({ onResync: () => void list(), onEvent: take, onReopen: readWhatFailed });
  return () => {
    end();
    listing?.abort();
    clearTimeout(refreshTimer);
    refreshTimer = undefined;
    for (const kept of [vms, stale, seen]) kept.clear();
    allVms.value = [];
    vmListState.value = { state: 'loading' };
  };
}

export function reloadVms(): void {
  void list();
}

/** A list or a VM whose reading broke with the stream. */
function readWhatFailed(): void {
  if (vmListState.peek().state === 'failed') void list();
  else if (stale.size > 0) refreshTimer ??= setTimeout(refresh, REFRESH_MS);
}

function show(): void {
  if (isShowDue) return;
  isShowDue = true;
  setTimeout(() => {
    isShowDue = false;
    allVms.value = [...vms.values()];
  }, 16);
}

async function list(): Promise<void> {
  listing?.abort();
  const own = new AbortController();
  listing = own;
  try {
    for (let attempt = 1; !own.signal.aborted; attempt += 1) {
      const { found, total } = await readPages(own.signal);
      if (found.size < total && attempt < LISTS_MAX) continue;
      replaceAll(found);
      break;
    }
  } catch (error) {
    if (own.signal.aborted) return;
    const failure = error instanceof Error ? error : new Error(String(error));
    vmListState.value = { state: 'failed', error: failure };
  } finally {
    if (listing === own) listing = null;
  }
}

async function readPages(signal: AbortSignal) {
  const found = new Map<string, Vm>();
  seen.clear();
  stale.clear();
  for (let offset = 0; ; ) {
    const page = await api().vms.list({ sort: 'name', limit: PAGE, offset }, { signal });
    for (const vm of page.vms) found.set(vm.name, vm);
    if (page.vms.length < PAGE) return { found, total: page.total };
    offset += PAGE - OVERLAP;
  }
}

function replaceAll(found: ReadonlyMap<string, Vm>): void {
  vms.clear();
  for (const [name, vm] of found) vms.set(name, vm);
  listedAtMs = performance.now();
  vmListState.value = { state: 'ready' };
  show();
  // What has changed during the reading is read once more.
  for (const name of seen.keys()) markStale(name);
}

function take(event: VolantEvent): void {
  const { type, name } = event;
  if (!type.startsWith('VM_') && !vms.has(name)) return;
  seen.set(name, (seen.get(name) ?? 0) + 1);
  if (type === 'VM_DELETED') {
    vms.delete(name);
    stale.delete(name);
  } else {
    const vm = vms.get(name);
    if (vm !== undefined) vms.set(name, changedBy(vm, event));
    markStale(name);
  }
  show();
  if (seen.size > SEEN_MAX && listing === null) void list();
}

function changedBy(vm: Vm, { type, status, ip_address, timestamp, message }: VolantEvent): Vm {
  if (!type.startsWith('VM_') || !isVmStatus(status)) return vm;
  const { status_reason: _, ...rest } = vm;
  const reason = status === 'crashed' && message !== undefined ? { status_reason: message } : {};
  const address = ip_address === undefined ? {} : { ip_address };
  return { ...rest, ...reason, ...address, status, updated_at: timestamp };
}

function markStale(name: string): void {
  stale.add(name);
  refreshTimer ??= setTimeout(refresh, REFRESH_MS);
}

function refresh(): void {
  refreshTimer = undefined;
  // A list that is on its way marks again what changes meanwhile.
  if (listing !== null) return;
  if (stale.size > SINGLE_READS_MAX) {
    const waitMs = listedAtMs + LIST_INTERVAL_MS - performance.now();
    if (waitMs <= 0) void list();
    else refreshTimer = setTimeout(refresh, waitMs);
    return;
  }
  const names = [...stale];
  stale.clear();
  void Promise.all(Array.from({ length: PARALLEL_READS }, () => readEach(names)));
}

async function readEach(names: string[]): Promise<void> {
  for (let name = names.pop(); name !== undefined; name = names.pop()) await readOne(name);
}

async function readOne(name: string): Promise<void> {
  const before = seen.get(name);
  try {
    const vm = await api().vms.get(name);
    if (seen.get(name) === before) vms.set(name, vm);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) {
      // Without an answer there is no stream of events either; it is read again when that is open.
      stale.add(name);
      return;
    }
    if (seen.get(name) === before) vms.delete(name);
  }
  show();
}
