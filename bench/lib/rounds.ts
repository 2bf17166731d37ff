// bench: rounds. Ours and the bound are measured in turn, the order changes from round to round, and the machine is
// watched meanwhile. A round on a busy machine is measured again; a row without enough quiet rounds is refused.

import {
  GENERATOR_SHARE_MAX,
  type Load,
  loadBetween,
  OTHERS_SHARE_MAX,
  type Sample,
  STEAL_SHARE_MAX,
  sampleMachine,
} from './machine.ts';
import { type Aim, percentText, type Row, row } from './row.ts';
import { median } from './statistics.ts';

/** What one side of one round came to. */
export interface Figure {
  readonly value: number;
  /** The share of one processor that the load generator took; left out where it cannot be in the way. */
  readonly generator?: number;
  /** Why the figure is worth nothing: what it needs beside it did not happen. */
  readonly refusal?: string | null;
}

export interface Pair {
  readonly ours: Figure;
  readonly bound: Figure;
}

/** The pairs of one round, by the name of the row. */
export type Round = Readonly<Record<string, Pair>>;

export interface RoundsOptions {
  /** As the machine is read; tests have their own. */
  readonly sample?: () => Sample;
  /** A busy machine and a generator without time left are reported, and their rounds count. */
  readonly evenIfBusy?: boolean;
}

interface Watched {
  readonly round: Round;
  readonly load: Load;
}

let busyRoundsCount = false;

/** From now on no row is refused: for work on the benchmarks themselves. */
export function countBusyRounds(): void {
  busyRoundsCount = true;
}

export interface Rounds {
  /** The row of that name, or one that is refused. */
  row(name: string, what: string, unit: string, boundIs: string, aim: Aim): Row;
}

/** How many more rounds are tried when some were busy, as a share. */
const MORE_ROUNDS = 0.5;

/** Measures until there are as many quiet rounds as are wanted, or half as many again were tried. */
export async function inRounds(
  wanted: number,
  measure: (index: number) => Promise<Round>,
  options: RoundsOptions = {},
): Promise<Rounds> {
  const { sample = sampleMachine, evenIfBusy = busyRoundsCount } = options;
  const all: Watched[] = [];
  const isCounted = ({ load }: Watched) => evenIfBusy || isQuiet(load);
  const triesMax = wanted + Math.ceil(wanted * MORE_ROUNDS);
  while (all.length < triesMax && all.filter(isCounted).length < wanted) {
    const before = sample();
    const round = await measure(all.length);
    all.push({ round, load: loadBetween(before, sample()) });
  }
  const counted = all.filter(isCounted);
  const busy = counted.length < wanted ? busyReason(all, wanted) : null;
  return {
    row: (name, what, unit, boundIs, aim) => {
      const rounds = busy === null ? counted : all;
      const pairs = rounds.map(({ round }) => pairOf(round, name));
      const refusal = busy ?? (evenIfBusy ? null : (generatorReason(pairs) ?? ownReason(pairs)));
      const ours = pairs.map((pair) => pair.ours.value);
      const bound = pairs.map((pair) => pair.bound.value);
      return row(what, unit, ours, bound, boundIs, aim, refusal);
    },
  };
}

/** Ours first in even rounds, the bound first in odd ones: what the one leaves behind meets both. */
export async function inTurn<T, U>(
  index: number,
  ours: () => Promise<T>,
  bound: () => Promise<U>,
): Promise<readonly [T, U]> {
  if (index % 2 === 0) {
    const first = await ours();
    return [first, await bound()];
  }
  const first = await bound();
  return [await ours(), first];
}

export function isQuiet({ others, steal }: Load): boolean {
  return others <= OTHERS_SHARE_MAX && steal <= STEAL_SHARE_MAX;
}

function pairOf(round: Round, name: string): Pair {
  const pair = round[name];
  if (pair === undefined) throw new Error(`No round has measured ${name}`);
  return pair;
}

function busyReason(all: readonly Watched[], wanted: number): string {
  const quiet = all.filter(({ load }) => isQuiet(load)).length;
  const others = percentText(median(all.map(({ load }) => load.others)));
  const steal = percentText(median(all.map(({ load }) => load.steal)));
  return (
    `the machine was busy: ${quiet} of ${all.length} rounds were quiet, ${wanted} are needed; ` +
    `other programs had ${others} of it (at most ${percentText(OTHERS_SHARE_MAX)}), ` +
    `its host took ${steal} (at most ${percentText(STEAL_SHARE_MAX)})`
  );
}

function generatorReason(pairs: readonly Pair[]): string | null {
  const share = Math.max(
    median(pairs.map(({ ours }) => ours.generator ?? 0)),
    median(pairs.map(({ bound }) => bound.generator ?? 0)),
  );
  if (share <= GENERATOR_SHARE_MAX) return null;
  const most = percentText(GENERATOR_SHARE_MAX);
  return `the load generator was the bottleneck: it had ${percentText(share)} of its processor (at most ${most})`;
}

/** That of most rounds. */
function ownReason(pairs: readonly Pair[]): string | null {
  const reasons = pairs
    .map(({ ours, bound }) => ours.refusal ?? bound.refusal ?? null)
    .filter((reason) => reason !== null);
  return reasons.length * 2 > pairs.length ? (reasons[0] ?? null) : null;
}

/** For a suite that measures by itself: what is wrong with rows that were measured meanwhile; null where nothing is. */
export function watchMachine(): () => string | null {
  const before = sampleMachine();
  return () => {
    const load = loadBetween(before, sampleMachine());
    return busyRoundsCount || isQuiet(load) ? null : busyReason([{ round: {}, load }], 1);
  };
}
