// ui, parts: a table of any length. Only the rows in view are in the document. It is a grid in the sense of ARIA: arrows move
// the focus from row to row, Space selects, Enter opens.

import type { ComponentChildren, TargetedKeyboardEvent } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { revealRow, useVirtualRows } from './virtual-rows.ts';

export interface Column<Row> {
  readonly id: string;
  readonly title: string;
  /** A track of a CSS grid, such as `minmax(8rem, 2fr)`. */
  readonly width: string;
  readonly cell: (row: Row) => ComponentChildren;
  /** Its head is a button that sorts. */
  readonly isSortable?: boolean;
  /** On narrow screens the column is not shown: `tablet` below 900 px, `phone` below 560 px. */
  readonly hideBelow?: 'tablet' | 'phone';
  readonly align?: 'end';
}

export interface Sorting {
  readonly by: string;
  readonly isDescending: boolean;
}

export interface TableProps<Row> {
  /** What the rows are, for screen readers. */
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  readonly sorting?: Sorting;
  readonly onSort?: (sorting: Sorting) => void;
  /** Keys of selected rows; without it rows cannot be selected. */
  readonly selection?: ReadonlySet<string>;
  readonly onSelect?: (selection: ReadonlySet<string>) => void;
  readonly onOpen?: (row: Row) => void;
  /** Shown instead of rows. */
  readonly empty?: ComponentChildren;
}

const ROW_PX = 36;
const HEAD_PX = 34;
const PAGE_ROWS = 20;

export function Table<Row>(props: TableProps<Row>) {
  const { label, columns, rows, keyOf, selection, empty } = props;
  const container = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0);
  const mustFocus = useRef(false);
  const { from, to, first } = useVirtualRows(container, ROW_PX, rows.length);
  const current = Math.min(active, rows.length - 1);
  // Tab reaches one row. Where the active one was scrolled out of the document, it is the first in view.
  const reached = current >= from && current < to ? current : first;

  const move = (index: number) => {
    const element = container.current;
    if (element === null || rows.length === 0) return;
    const next = Math.max(0, Math.min(rows.length - 1, index));
    revealRow(element, next, ROW_PX, HEAD_PX);
    mustFocus.current = true;
    setActive(next);
  };
  useEffect(() => {
    if (!mustFocus.current) return;
    const row = container.current?.querySelector<HTMLElement>(`[aria-rowindex="${current + 2}"]`);
    if (row === null || row === undefined) return;
    mustFocus.current = false;
    row.focus({ preventScroll: true });
  });
  const select = useSelect(props);
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLElement>) =>
    rowKey(event, { current, move, select, count: rows.length, onOpen: props.onOpen, rows });

  return (
    <div class="table" ref={container}>
      {/* biome-ignore lint/a11y/useSemanticElements: a <table> cannot leave out the rows that are not in view */}
      <div
        role="grid"
        aria-label={label}
        aria-rowcount={rows.length + 1}
        aria-multiselectable={selection !== undefined}
        tabIndex={-1}
      >
        <Head {...props} />
        {/* biome-ignore lint/a11y/useSemanticElements: see the grid */}
        <div
          class="table-body"
          role="rowgroup"
          style={{ height: `${rows.length * ROW_PX}px` }}
          onKeyDown={onKeyDown}
        >
          {rows.slice(from, to).map((row, offset) => {
            const index = from + offset;
            return (
              <TableRow
                key={keyOf(row)}
                row={row}
                index={index}
                columns={columns}
                isReached={index === reached}
                isSelected={selection?.has(keyOf(row))}
                onFocus={() => setActive(index)}
                onSelect={(isRange) => select(index, isRange)}
              />
            );
          })}
        </div>
      </div>
      {rows.length === 0 && empty}
    </div>
  );
}

interface RowProps<Row> {
  readonly row: Row;
  readonly index: number;
  readonly columns: readonly Column<Row>[];
  /** Tab leads to it. */
  readonly isReached: boolean;
  /** undefined: rows cannot be selected. */
  readonly isSelected: boolean | undefined;
  readonly onFocus: () => void;
  readonly onSelect: (isRange: boolean) => void;
}

function TableRow<Row>(props: RowProps<Row>) {
  const { row, index, columns, isReached, isSelected, onFocus, onSelect } = props;
  return (
    // biome-ignore lint/a11y/useSemanticElements: see the grid
    <div
      role="row"
      class="row"
      aria-rowindex={index + 2}
      aria-selected={isSelected}
      tabIndex={isReached ? 0 : -1}
      style={{ transform: `translateY(${index * ROW_PX}px)`, gridTemplateColumns: tracks(props) }}
      onFocus={onFocus}
    >
      {isSelected !== undefined && (
        // biome-ignore lint/a11y/useSemanticElements: see the grid
        <span role="gridcell" tabIndex={-1} class="cell cell-check">
          <input
            type="checkbox"
            tabIndex={-1}
            aria-label="Select this row"
            checked={isSelected}
            onClick={(event) => onSelect(event.shiftKey)}
          />
        </span>
      )}
      {columns.map((column) => (
        // biome-ignore lint/a11y/useSemanticElements: see the grid
        <span role="gridcell" tabIndex={-1} key={column.id} class={cellClass(column)}>
          {column.cell(row)}
        </span>
      ))}
    </div>
  );
}

function Head<Row>(props: TableProps<Row>) {
  const { columns, rows, keyOf, selection, onSelect } = props;
  const chosen =
    selection === undefined ? 0 : rows.filter((row) => selection.has(keyOf(row))).length;
  const isAll = rows.length > 0 && chosen === rows.length;
  const isSelected = selection === undefined ? undefined : isAll;
  return (
    // biome-ignore lint/a11y/useSemanticElements: see the grid
    <div
      role="row"
      class="row table-head"
      aria-rowindex={1}
      tabIndex={-1}
      style={{ gridTemplateColumns: tracks({ columns, isSelected }) }}
    >
      {selection !== undefined && (
        // biome-ignore lint/a11y/useSemanticElements: see the grid
        <span role="columnheader" tabIndex={-1} class="cell cell-check">
          <input
            type="checkbox"
            aria-label="Select all rows that are listed"
            checked={isAll}
            indeterminate={chosen > 0 && !isAll}
            onClick={() => onSelect?.(isAll ? new Set() : new Set(rows.map(keyOf)))}
          />
        </span>
      )}
      {columns.map((column) => (
        <HeadCell key={column.id} column={column} {...props} />
      ))}
    </div>
  );
}

function HeadCell<Row>({
  column,
  sorting,
  onSort,
}: TableProps<Row> & { readonly column: Column<Row> }) {
  const isSorted = sorting?.by === column.id;
  const direction = sorting?.isDescending ? 'descending' : 'ascending';
  return (
    // biome-ignore lint/a11y/useSemanticElements: see the grid
    <span
      role="columnheader"
      tabIndex={-1}
      class={cellClass(column)}
      aria-sort={isSorted ? direction : undefined}
    >
      {column.isSortable ? (
        <button
          type="button"
          class="sort"
          onClick={() =>
            onSort?.({ by: column.id, isDescending: isSorted && !sorting?.isDescending })
          }
        >
          {column.title}
          <span aria-hidden="true">{isSorted ? (sorting?.isDescending ? ' ↓' : ' ↑') : ''}</span>
        </button>
      ) : (
        column.title
      )}
    </span>
  );
}

/** Selects or deselects a row; with `isRange` all from the one before up to it. */
function useSelect<Row>({ rows, keyOf, selection, onSelect }: TableProps<Row>) {
  const last = useRef(0);
  return (index: number, isRange: boolean) => {
    if (selection === undefined) return;
    const row = rows[index];
    if (row === undefined) return;
    const isAdded = !selection.has(keyOf(row));
    const next = new Set(selection);
    const [from, to] = isRange ? [last.current, index].sort((a, b) => a - b) : [index, index];
    for (const each of rows.slice(from, (to ?? index) + 1)) {
      if (isAdded) next.add(keyOf(each));
      else next.delete(keyOf(each));
    }
    last.current = index;
    onSelect?.(next);
  };
}

interface KeyContext<Row> {
  readonly current: number;
  readonly count: number;
  readonly rows: readonly Row[];
  readonly move: (index: number) => void;
  readonly select: (index: number, isRange: boolean) => void;
  readonly onOpen: ((row: Row) => void) | undefined;
}

function rowKey<Row>(event: TargetedKeyboardEvent<HTMLElement>, context: KeyContext<Row>): void {
  const { current, count, rows, move, select, onOpen } = context;
  // Keys of links and fields inside a row are their own.
  if (!(event.target instanceof Element) || event.target.getAttribute('role') !== 'row') return;
  const row = rows[current];
  const actions: Readonly<Record<string, () => void>> = {
    ArrowDown: () => move(current + 1),
    j: () => move(current + 1),
    ArrowUp: () => move(current - 1),
    k: () => move(current - 1),
    PageDown: () => move(current + PAGE_ROWS),
    PageUp: () => move(current - PAGE_ROWS),
    Home: () => move(0),
    End: () => move(count - 1),
    ' ': () => select(current, event.shiftKey),
    Enter: () => {
      if (row !== undefined) onOpen?.(row);
    },
  };
  const action = event.ctrlKey || event.metaKey || event.altKey ? undefined : actions[event.key];
  if (action === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  action();
}

/** Columns that are hidden have tracks, too: the style sheet sets their variables to nothing. */
function tracks<Row>({
  columns,
  isSelected,
}: Pick<RowProps<Row>, 'columns' | 'isSelected'>): string {
  const own = columns.map(({ width, hideBelow }) =>
    hideBelow === undefined ? width : `var(--track-${hideBelow}, ${width})`,
  );
  return [...(isSelected === undefined ? [] : ['2.25rem']), ...own].join(' ');
}

function cellClass<Row>({ hideBelow, align }: Column<Row>): string {
  return `cell${hideBelow === undefined ? '' : ` hide-${hideBelow}`}${align === 'end' ? ' cell-end' : ''}`;
}
