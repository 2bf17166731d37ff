// cli, top: reads figures periodically, and shows what was used in between: as a screen, as lines of JSON, or once.

import { setTimeout as pause } from 'node:timers/promises';
import { ConnectionError } from '../../client/errors.ts';
import type { SystemLoad, VmStats } from '../../client/types.ts';
import type { Shell } from '../shell.ts';
import { byName } from '../terminal/natural-order.ts';
import { CTRL_C, Screen } from '../terminal/screen.ts';
import { type Column, renderTable } from '../terminal/table.ts';
import { hostCpuPercent, sortUsage, type UsageOrder, usageOf, type VmUsage } from './usage.ts';

export interface TopOptions {
  readonly sort: UsageOrder;
  /** Milliseconds between two readings. */
  readonly interval: number;
  readonly once?: true;
}

const KEYS: ReadonlyMap<string, UsageOrder> = new Map([
  ['c', 'cpu'],
  ['m', 'memory'],
  ['n', 'network'],
  ['d', 'disk'],
  ['a', 'name'],
]);

const KEYS_LINE = 'q ends; sort by c CPU, m memory, n network, d disk, a name';

/** Figures of one moment. */
interface Reading {
  readonly vms: readonly VmStats[];
  readonly load: SystemLoad;
}

/** What was used between two readings. */
interface Shown {
  readonly usage: readonly VmUsage[];
  readonly load: SystemLoad;
  readonly cpuPercent: number | null;
}

/** Prints what VMs use: periodically on a terminal and for programs, else once. */
export async function showUsage(shell: Shell, options: TopOptions): Promise<void> {
  const isLive = options.once !== true && (shell.json || shell.streams.stdout.isTTY === true);
  if (!isLive) return printOnce(shell, options);
  if (shell.json) return printForPrograms(shell, options);
  let order = options.sort;
  const end = new AbortController();
  let redraw: () => void = () => undefined;
  const screen = new Screen(shell.streams, (key) => {
    if (key === 'q' || key === CTRL_C) end.abort();
    order = KEYS.get(key) ?? order;
    redraw();
  });
  screen.open();
  const clean = () => screen.close();
  try {
    const width = () => shell.streams.stdout.columns;
    const show = (shown: Shown) => {
      redraw = () => screen.draw(linesOf(shown, order, width()));
      redraw();
    };
    const showProblem = (problem: string) => screen.draw([problem, KEYS_LINE]);
    await shell.interrupts.during({ clean }, follow(shell, options, end.signal, show, showProblem));
  } finally {
    screen.close();
  }
}

async function printOnce(shell: Shell, { sort, interval }: TopOptions): Promise<void> {
  const before = await read(shell);
  await pause(interval);
  const shown = compare(before, await read(shell));
  const rows = sortUsage(shown.usage, sort, byName);
  if (shell.json) shell.printJson(rows);
  else {
    shell.print(hostLine(shown));
    shell.printRows(rows, COLUMNS, 'No VM runs.');
  }
}

/** One line of JSON for each interval, until the command is interrupted. */
async function printForPrograms(shell: Shell, options: TopOptions): Promise<void> {
  const { signal } = new AbortController();
  const show = ({ usage }: Shown) =>
    shell.print(JSON.stringify(sortUsage(usage, options.sort, byName)));
  await follow(shell, options, signal, show, (problem) => shell.note(problem));
}

/** Reads until the signal is aborted. A daemon that does not answer is asked again. */
async function follow(
  shell: Shell,
  { interval }: TopOptions,
  signal: AbortSignal,
  show: (shown: Shown) => void,
  showProblem: (problem: string) => void,
): Promise<void> {
  let before: Reading | null = null;
  while (!signal.aborted) {
    try {
      const after = await read(shell, signal);
      if (signal.aborted) return;
      show(compare(before ?? after, after));
      before = after;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ConnectionError)) throw error;
      showProblem(`The daemon does not answer: ${error.message}`);
    }
    await pause(interval, undefined, { signal }).catch(ended);
  }
}

/** The pause was aborted; the loop sees it. */
function ended(): void {}

async function read({ client }: Shell, signal?: AbortSignal): Promise<Reading> {
  const options = signal === undefined ? {} : { signal };
  const load = await client.system.load(options);
  const vms: VmStats[] = [];
  for (;;) {
    const page = await client.vms.allStats({ offset: vms.length }, options);
    vms.push(...page.stats);
    if (page.stats.length === 0 || vms.length >= page.total) return { vms, load };
  }
}

function compare(before: Reading, after: Reading): Shown {
  const usage = usageOf(before.vms, after.vms);
  return { usage, load: after.load, cpuPercent: hostCpuPercent(before.load, after.load) };
}

function linesOf(shown: Shown, order: UsageOrder, width: number | undefined): readonly string[] {
  const rows = sortUsage(shown.usage, order, byName);
  return [hostLine(shown), `by ${order}; ${KEYS_LINE}`, '', ...renderTable(rows, COLUMNS, width)];
}

function hostLine({ usage, load, cpuPercent }: Shown): string {
  const { total_bytes: total, available_bytes: available } = load.memory;
  return [
    `${usage.length} VMs run`,
    `CPU ${percentText(cpuPercent) ?? '-'} of ${load.cpu.cores} cores`,
    `memory ${bytesText(total - available)} of ${bytesText(total)}`,
    `load ${load.load_average.one_minute.toFixed(2)}`,
  ].join(', ');
}

const COLUMNS: readonly Column<VmUsage>[] = [
  { title: 'NAME', of: ({ name }) => name },
  { title: 'CPU', of: ({ cpu_percent: percent }) => percentText(percent) },
  { title: 'VCPUS', of: ({ vcpus }) => vcpus ?? undefined, optional: true },
  { title: 'MEMORY', of: ({ memory_resident_bytes: bytes }) => bytesText(bytes) },
  { title: 'OF', of: ({ memory_guest_bytes: bytes }) => bytesText(bytes), optional: true },
  { title: 'RECEIVED/s', of: ({ received_bytes_per_second: bytes }) => bytesText(bytes) },
  { title: 'SENT/s', of: ({ sent_bytes_per_second: bytes }) => bytesText(bytes) },
  { title: 'READ/s', of: ({ read_bytes_per_second: bytes }) => bytesText(bytes), optional: true },
  {
    title: 'WRITTEN/s',
    of: ({ written_bytes_per_second: bytes }) => bytesText(bytes),
    optional: true,
  },
  { title: 'UP', of: ({ uptime_seconds: seconds }) => durationText(seconds), optional: true },
];

function percentText(percent: number | null): string | undefined {
  return percent === null ? undefined : `${percent.toFixed(1)} %`;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

function bytesText(bytes: number | null): string | undefined {
  if (bytes === null) return undefined;
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

function durationText(seconds: number | null): string | undefined {
  if (seconds === null) return undefined;
  if (seconds < 60) return `${Math.floor(seconds)}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}
