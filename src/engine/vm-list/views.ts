// engine, vm-list: cached results of slow queries, kept up to date while VMs change, because dashboards poll the same
// queries page by page.

import { SortedList } from './sorted-list.ts';
import { compareBy, type Entry, type Filter, matcherOf, type SortKey } from './vm-entry.ts';

/** The maximum number of views. Each change of a VM is compared with all of them. */
const VIEWS_MAX = 16;

interface View {
  readonly isMeant: (entry: Entry) => boolean;
  readonly list: SortedList<Entry>;
}

export class Views {
  /** In the order of use; the last one was used last. */
  readonly #views = new Map<string, View>();

  find(filters: readonly Filter[], sort: SortKey): SortedList<Entry> | undefined {
    const key = keyOf(filters, sort);
    const view = this.#views.get(key);
    if (view === undefined) return undefined;
    this.#views.delete(key);
    this.#views.set(key, view);
    return view.list;
  }

  /** `found` is in the order of `sort`. */
  keep(filters: readonly Filter[], sort: SortKey, found: readonly Entry[]): SortedList<Entry> {
    const list = SortedList.of(found, compareBy(sort));
    this.#views.set(keyOf(filters, sort), { isMeant: matcherOf(filters), list });
    const [oldest] = this.#views.keys();
    if (this.#views.size > VIEWS_MAX && oldest !== undefined) this.#views.delete(oldest);
    return list;
  }

  add(entry: Entry): void {
    for (const { isMeant, list } of this.#views.values()) {
      if (isMeant(entry)) list.add(entry);
    }
  }

  /** Call it before anything of the entry changes. */
  remove(entry: Entry): void {
    for (const { isMeant, list } of this.#views.values()) {
      if (isMeant(entry)) list.remove(entry);
    }
  }
}

function keyOf(filters: readonly Filter[], sort: SortKey): string {
  return `${sort} ${JSON.stringify(filters)}`;
}
