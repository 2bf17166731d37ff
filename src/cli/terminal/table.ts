// cli, terminal: prints rows as a table for people. Columns are as wide as their longest cell, with two blanks between
// them.

export interface Column<T> {
  readonly title: string;
  readonly of: (row: T) => string | number | boolean | undefined;
  /** This column is dropped first if the terminal is too narrow. */
  readonly optional?: true;
}

const GAP = '  ';

/** The lines of a table, titles first. An empty cell is a dash. */
export function renderTable<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  width = Number.POSITIVE_INFINITY,
): string[] {
  const lines = renderAll(rows, columns);
  const needed = columns.filter(({ optional }) => optional !== true);
  const isTooWide = lines.some((line) => line.length > width);
  return isTooWide && needed.length < columns.length ? renderAll(rows, needed) : lines;
}

function renderAll<T>(rows: readonly T[], columns: readonly Column<T>[]): string[] {
  const cells = rows.map((row) => cellsOf(row, columns));
  const titles = columns.map(({ title }) => title);
  const widths = titles.map((title, at) =>
    Math.max(title.length, ...cells.map((line) => line[at]?.length ?? 0)),
  );
  return [titles, ...cells].map((line) => renderLine(line, widths));
}

/** One row with columns of given widths, for rows that arrive one by one. */
export function renderRow<T>(
  row: T,
  columns: readonly Column<T>[],
  widths: readonly number[],
): string {
  return renderLine(cellsOf(row, columns), widths);
}

function cellsOf<T>(row: T, columns: readonly Column<T>[]): string[] {
  return columns.map(({ of }) => {
    const value = of(row);
    return value === undefined || value === '' ? '-' : String(value);
  });
}

function renderLine(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, at) => cell.padEnd(widths[at] ?? 0))
    .join(GAP)
    .trimEnd();
}

/** Names and values. */
export type Facts = readonly (readonly [name: string, value: unknown])[];

/** One name and value on each line, for one object. Empty values are left out. */
export function renderFacts(facts: Facts): string[] {
  const present = facts.filter(([, value]) => value !== undefined && value !== '');
  const width = Math.max(0, ...present.map(([name]) => name.length));
  return present.map(([name, value]) => `${name.padEnd(width)}${GAP}${value}`);
}
