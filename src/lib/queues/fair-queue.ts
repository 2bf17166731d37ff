// lib, queues: a queue that is fair between clients: the next item is that of the client that was served least. A
// client with thousands of items and one with a single item are served in turn. The items themselves are opaque.

interface Entry<Item> {
  readonly item: Item;
  readonly cost: number;
}

/** The items of one client. */
interface ClientQueue<Item> {
  /** Served before the client's other items. */
  readonly urgent: Entry<Item>[];
  readonly others: Entry<Item>[];
  /** The total cost that was served. A new client starts at the level of the others. */
  servedCost: number;
}

/** A queue without a bound; its owner checks `size`. */
export class FairQueue<Item> {
  /** Clients with items, and those that were recently served more than the others. */
  readonly #clients = new Map<string, ClientQueue<Item>>();
  #size = 0;
  /** The total cost of the client that was served last, before that item. */
  #level = 0;

  get size(): number {
    return this.#size;
  }

  sizeOf(client: string): number {
    const queue = this.#clients.get(client);
    return queue === undefined ? 0 : sizeOf(queue);
  }

  /** Number of clients with items. */
  get clients(): number {
    let count = 0;
    for (const queue of this.#clients.values()) if (sizeOf(queue) > 0) count += 1;
    return count;
  }

  /** Adds an item. `cost` is what serving it adds to the client's total. */
  push(client: string, item: Item, { cost = 1, isUrgent = false } = {}): void {
    const queue = this.#clients.get(client) ?? { urgent: [], others: [], servedCost: 0 };
    queue.servedCost = Math.max(queue.servedCost, this.#level);
    (isUrgent ? queue.urgent : queue.others).push({ item, cost });
    this.#clients.set(client, queue);
    this.#size += 1;
  }

  /** Returns the next item without taking it; undefined when the queue is empty. */
  peek(): Item | undefined {
    const queue = this.#next();
    return queue === undefined ? undefined : entriesOf(queue)[0]?.item;
  }

  /** Takes the next item; undefined when the queue is empty. */
  shift(): Item | undefined {
    const queue = this.#next();
    const entry = queue === undefined ? undefined : entriesOf(queue).shift();
    if (queue === undefined || entry === undefined) return undefined;
    this.#size -= 1;
    this.#level = queue.servedCost;
    queue.servedCost += entry.cost;
    return entry.item;
  }

  /** Removes an item that no longer waits. */
  remove(client: string, item: Item): void {
    const queue = this.#clients.get(client);
    for (const entries of queue === undefined ? [] : [queue.urgent, queue.others]) {
      const index = entries.findIndex((entry) => entry.item === item);
      if (index < 0) continue;
      entries.splice(index, 1);
      this.#size -= 1;
    }
  }

  /**
   * Returns the entries of the client that was served least. Forgets clients without items that were served no more
   * than that.
   */
  #next(): ClientQueue<Item> | undefined {
    let least: ClientQueue<Item> | undefined;
    for (const [client, queue] of this.#clients) {
      if (sizeOf(queue) > 0) {
        if (least === undefined || queue.servedCost < least.servedCost) least = queue;
      } else if (queue.servedCost <= this.#level || this.#size === 0) this.#clients.delete(client);
    }
    return least;
  }
}

function sizeOf({ urgent, others }: ClientQueue<unknown>): number {
  return urgent.length + others.length;
}

function entriesOf<Item>({ urgent, others }: ClientQueue<Item>): Entry<Item>[] {
  return urgent.length > 0 ? urgent : others;
}
