// lib: what waits, by whom it waits for. Whose turn it is, is decided by what each client has had: one with thousands in
// the queue is served in turn with one that has a single thing there. What the items are is not known here.

interface Entry<Item> {
  readonly item: Item;
  readonly cost: number;
}

/** What waits of one client. */
interface Line<Item> {
  /** Served before the others of this client. */
  readonly urgent: Entry<Item>[];
  readonly others: Entry<Item>[];
  /** What it has had, on the queue's own scale: who is new begins where the others are. */
  had: number;
}

export class FairQueue<Item> {
  /** Clients with something in the queue, and those that have had more than the others lately. */
  readonly #lines = new Map<string, Line<Item>>();
  #size = 0;
  /** What the client had had that was served last. */
  #level = 0;

  get size(): number {
    return this.#size;
  }

  sizeOf(client: string): number {
    const line = this.#lines.get(client);
    return line === undefined ? 0 : sizeOf(line);
  }

  /** How many clients have something in the queue. */
  get clients(): number {
    let count = 0;
    for (const line of this.#lines.values()) if (sizeOf(line) > 0) count += 1;
    return count;
  }

  /** `cost` is what it counts when clients are compared. */
  push(client: string, item: Item, { cost = 1, isUrgent = false } = {}): void {
    const line = this.#lines.get(client) ?? { urgent: [], others: [], had: 0 };
    line.had = Math.max(line.had, this.#level);
    (isUrgent ? line.urgent : line.others).push({ item, cost });
    this.#lines.set(client, line);
    this.#size += 1;
  }

  /** What is next; undefined when nothing waits. */
  peek(): Item | undefined {
    const line = this.#next();
    return line === undefined ? undefined : entriesOf(line)[0]?.item;
  }

  /** Takes what is next. */
  shift(): Item | undefined {
    const line = this.#next();
    const entry = line === undefined ? undefined : entriesOf(line).shift();
    if (line === undefined || entry === undefined) return undefined;
    this.#size -= 1;
    this.#level = line.had;
    line.had += entry.cost;
    return entry.item;
  }

  /** Takes something that gives up out of the queue. */
  remove(client: string, item: Item): void {
    const line = this.#lines.get(client);
    for (const entries of line === undefined ? [] : [line.urgent, line.others]) {
      const index = entries.findIndex((entry) => entry.item === item);
      if (index < 0) continue;
      entries.splice(index, 1);
      this.#size -= 1;
    }
  }

  /** The line of the client that has had least. Who has nothing here and had no more than that is forgotten. */
  #next(): Line<Item> | undefined {
    let least: Line<Item> | undefined;
    for (const [client, line] of this.#lines) {
      if (sizeOf(line) > 0) {
        if (least === undefined || line.had < least.had) least = line;
      } else if (line.had <= this.#level || this.#size === 0) this.#lines.delete(client);
    }
    return least;
  }
}

function sizeOf({ urgent, others }: Line<unknown>): number {
  return urgent.length + others.length;
}

function entriesOf<Item>({ urgent, others }: Line<Item>): Entry<Item>[] {
  return urgent.length > 0 ? urgent : others;
}
