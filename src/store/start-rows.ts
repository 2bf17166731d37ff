// store: what a start reads of every VM: summaries and addresses. The check of the state reads them before the store is
// opened; they are kept until the daemon's parts are built, so that they are read and decoded once.

import type { AddressLease, VmSummary } from '../engine/records.ts';
import { type SummaryRow, summaryReader } from './summaries.ts';

export class StartRows {
  readonly #read = summaryReader();
  #summaries: VmSummary[] | null = [];
  #addresses: string[] | null = [];
  /** In the order of the addresses. */
  #leases: AddressLease[] = [];

  /** Keeps a row of one of the tables, in the order of keys; ignores those of others. Throws for one of another form. */
  readonly note = (
    table: string,
    row: { readonly key: unknown; readonly value: unknown },
  ): void => {
    if (table === 'summaries') {
      this.#summaries?.push(this.#read(row.key as number, row.value as SummaryRow));
    } else if (table === 'addresses') {
      this.#addresses?.push(row.key as string);
      this.#leases.push(row.value as AddressLease);
    }
  };

  /** Once; null if they were taken, or have changed since. */
  takeSummaries(): readonly VmSummary[] | null {
    const summaries = this.#summaries;
    this.#summaries = null;
    return summaries;
  }

  /** Once; null if they were taken, or have changed since. */
  takeLeases(): Iterable<readonly [address: string, lease: AddressLease]> | null {
    const addresses = this.#addresses;
    const leases = this.#leases;
    this.#forgetAddresses();
    return addresses && pairs(addresses, leases);
  }

  /** The table is changed: what was read of it is not true any more. */
  forget(table: string): void {
    if (table === 'vms') this.#summaries = null;
    else if (table === 'addresses') this.#forgetAddresses();
  }

  #forgetAddresses(): void {
    this.#addresses = null;
    this.#leases = [];
  }
}

function* pairs<A, B>(first: readonly A[], second: readonly B[]): Iterable<readonly [A, B]> {
  for (let at = 0; at < first.length; at += 1) yield [first[at] as A, second[at] as B];
}
