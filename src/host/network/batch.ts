// host, network: batches calls of one operation whose cost does not depend on the number of items. Items that are
// added while a batch runs, and while its rest is waited for, form the next batch.

interface Waiting<Item> {
  readonly item: Item;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Runs `work` for one batch at a time. */
export class Batch<Item> {
  readonly #work: (items: readonly Item[]) => Promise<unknown>;
  readonly #rest: () => Promise<unknown>;
  #waiting: Waiting<Item>[] = [];
  #busy = false;

  /**
   * `work` gets the items of a batch in the order in which they were added. `rest` is what the next batch waits for, and
   * the items of this one do not; it must not reject.
   */
  constructor(
    work: (items: readonly Item[]) => Promise<unknown>,
    rest: () => Promise<unknown> = async () => undefined,
  ) {
    this.#work = work;
    this.#rest = rest;
  }

  /** Resolves when the item's batch is done, and rejects with the error of that batch. */
  add(item: Item): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#busy) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#busy = true;
    // Items that are added in this turn of the event loop belong to the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const round = this.#waiting.splice(0);
      try {
        await this.#work(round.map(({ item }) => item));
        for (const { resolve } of round) resolve();
      } catch (error) {
        for (const { reject } of round) reject(error);
      }
      await this.#rest();
    }
    this.#busy = false;
  }
}
