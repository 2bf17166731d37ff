// cli: --watch: prints rows again after they have changed. Events trigger a new list request, which has the data.

import type { StreamState } from '../client/events.ts';
import type { VolantEvent } from '../client/types.ts';
import type { Shell } from './shell.ts';
import { type Column, renderRow } from './terminal/table.ts';

export interface Watched<T> {
  readonly list: () => Promise<readonly T[]>;
  readonly keyOf: (row: T) => string;
  /** The row to print for an object that was deleted. */
  readonly gone: (last: T) => T;
  readonly columns: readonly Column<T>[];
  /** End when there are no more rows, as for one VM. */
  readonly untilGone?: boolean;
}

/** Minimum width, so that columns keep their places when longer cells arrive. */
const CELL_CHARS_MIN = 12;

/** Prints all rows, then each row that is new, changed or deleted, until the stream ends. */
export async function watchRows<T>(shell: Shell, watched: Watched<T>): Promise<void> {
  const controller = new AbortController();
  const printer = new RowPrinter(shell, watched.columns);
  const known = new Map<string, T>();
  const look = async () => {
    const rows = await watched.list();
    const present = new Set(rows.map(watched.keyOf));
    const changed = rows.filter((row) => !same(row, known.get(watched.keyOf(row))));
    const gone = [...known].filter(([key]) => !present.has(key));
    printer.print([...changed, ...gone.map(([, last]) => watched.gone(last))]);
    for (const row of changed) known.set(watched.keyOf(row), row);
    for (const [key] of gone) known.delete(key);
    if (watched.untilGone === true && rows.length === 0) controller.abort();
  };
  const looks = new Looks(look, (error) => controller.abort(error));
  const onState = (state: StreamState) => {
    if (state.state === 'open') looks.again();
    else shell.note(`The connection was lost; retrying: ${state.error.message}`);
  };
  const events = shell.client.events.all({ signal: controller.signal, onState });
  await drain(events, () => looks.again());
  await looks.finished();
}

async function drain(events: AsyncIterable<VolantEvent>, each: () => void): Promise<void> {
  for await (const _ of events) each();
}

/** One list request at a time: events during a request cause one more request after it, not many. */
class Looks {
  readonly #look: () => Promise<void>;
  readonly #onError: (error: unknown) => void;
  #running: Promise<void> | undefined;
  #wanted = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(look: () => Promise<void>, onError: (error: unknown) => void) {
    this.#look = look;
    this.#onError = onError;
  }

  again(): void {
    this.#wanted = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Rejects with the error of a failed request. */
  async finished(): Promise<void> {
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #run(): Promise<void> {
    while (this.#wanted && this.#failure === undefined) {
      this.#wanted = false;
      try {
        await this.#look();
      } catch (error) {
        this.#failure = { error };
        this.#onError(error);
      }
    }
  }
}

class RowPrinter<T> {
  readonly #shell: Shell;
  readonly #columns: readonly Column<T>[];
  #widths: readonly number[] | undefined;

  constructor(shell: Shell, columns: readonly Column<T>[]) {
    this.#shell = shell;
    this.#columns = columns;
  }

  /** Prints one JSON text on each line for programs. */
  print(rows: readonly T[]): void {
    if (this.#shell.json) {
      for (const row of rows) this.#shell.print(JSON.stringify(row));
      return;
    }
    if (this.#widths === undefined) {
      this.#widths = this.#columns.map(({ title, of }) =>
        Math.max(title.length, CELL_CHARS_MIN, ...rows.map((row) => String(of(row) ?? '').length)),
      );
      const titles = this.#columns.map(({ title }) => ({ title, of: () => title }));
      this.#shell.print(renderRow(undefined, titles, this.#widths));
    }
    for (const row of rows) this.#shell.print(renderRow(row, this.#columns, this.#widths));
  }
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Prints rows once, or again after each change. */
export async function showRows<T>(
  shell: Shell,
  watch: boolean | undefined,
  watched: Watched<T>,
  none: string,
): Promise<void> {
  if (watch === true) return watchRows(shell, watched);
  shell.printRows(await watched.list(), watched.columns, none);
}
