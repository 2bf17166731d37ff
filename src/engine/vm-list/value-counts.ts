// engine, vm-list: which values VMs have, in which spellings, and the number of VMs of each.

export class ValueCounts {
  /** By the value in lower case. */
  readonly #values = new Map<string, Map<string, number>>();

  add(value: string): void {
    const lower = value.toLowerCase();
    const spellings = this.#values.get(lower);
    if (spellings === undefined) this.#values.set(lower, new Map([[value, 1]]));
    else spellings.set(value, (spellings.get(value) ?? 0) + 1);
  }

  remove(value: string): void {
    const lower = value.toLowerCase();
    const spellings = this.#values.get(lower);
    const left = (spellings?.get(value) ?? 0) - 1;
    if (left > 0) spellings?.set(value, left);
    else spellings?.delete(value);
    if (spellings?.size === 0) this.#values.delete(lower);
  }

  /** The spellings of a value in lower case. */
  spellingsOf(lower: string): readonly string[] {
    return [...(this.#values.get(lower)?.keys() ?? [])];
  }

  /** Whether a value contains this text, in lower case. */
  someHas(text: string): boolean {
    for (const lower of this.#values.keys()) if (lower.includes(text)) return true;
    return false;
  }

  /** By the value in lower case. */
  counts(): Readonly<Record<string, number>> {
    const counts = [...this.#values].map(([lower, spellings]): [string, number] => {
      return [lower, [...spellings.values()].reduce((sum, count) => sum + count, 0)];
    });
    return Object.fromEntries(counts);
  }
}
