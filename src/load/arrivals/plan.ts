// load, arrivals: what a phase is to do over its time: starts per second (open model) or users (closed model), as points that
// straight lines connect; and the times that follow from it. Pure.

import type { PhaseKind } from '../report/run-report.ts';
import type { Random } from './random.ts';

/** Times are since the start of the phase. Two points of the same time are a jump. */
export interface PlanPoint {
  readonly atMs: number;
  readonly level: number;
}

export type Plan = readonly PlanPoint[];

/** The level of a phase over its time. */
export type Shape =
  | { readonly kind: Extract<PhaseKind, 'constant' | 'poisson' | 'soak'>; readonly level: number }
  | { readonly kind: 'ramp'; readonly from: number; readonly to: number }
  | { readonly kind: 'step'; readonly levels: readonly number[] }
  | {
      readonly kind: 'spike';
      readonly base: number;
      readonly peak: number;
      readonly peakAfterMs: number;
      readonly peakMs: number;
    };

export function planOf(shape: Shape, durationMs: number): Plan {
  const level = (fromMs: number, toMs: number, value: number): Plan => [
    { atMs: fromMs, level: value },
    { atMs: toMs, level: value },
  ];
  switch (shape.kind) {
    case 'ramp':
      return [
        { atMs: 0, level: shape.from },
        { atMs: durationMs, level: shape.to },
      ];
    case 'step': {
      const eachMs = durationMs / shape.levels.length;
      return shape.levels.flatMap((value, at) => level(at * eachMs, (at + 1) * eachMs, value));
    }
    case 'spike': {
      const endMs = shape.peakAfterMs + shape.peakMs;
      return [
        ...level(0, shape.peakAfterMs, shape.base),
        ...level(shape.peakAfterMs, endMs, shape.peak),
        ...level(endMs, durationMs, shape.base),
      ];
    }
    default:
      return level(0, durationMs, shape.level);
  }
}

interface Segment {
  readonly fromMs: number;
  readonly toMs: number;
  readonly from: number;
  readonly to: number;
}

function segmentsOf(plan: Plan): Segment[] {
  return plan.slice(1).flatMap((end, at) => {
    const begin = plan[at] ?? end;
    if (end.atMs <= begin.atMs) return [];
    return [{ fromMs: begin.atMs, toMs: end.atMs, from: begin.level, to: end.level }];
  });
}

/** Before the first point and after the last one it is 0. Of a jump the later level counts. */
export function levelAt(plan: Plan, atMs: number): number {
  const segment = segmentsOf(plan).find(({ fromMs, toMs }) => fromMs <= atMs && atMs < toMs);
  if (segment === undefined) return 0;
  const { fromMs, toMs, from, to } = segment;
  return from + ((to - from) * (atMs - fromMs)) / (toMs - fromMs);
}

/**
 * The intended starts of the open model, growing, since the start of the phase. Without `random` they are as even as the plan
 * allows: start number k (from 0) is due when the plan has asked for k starts. With it they are a Poisson process of that rate.
 */
export function* arrivalsOf(plan: Plan, random?: Random): Generator<number, void, undefined> {
  const gap = () => (random === undefined ? 1 : -Math.log(1 - random()));
  let due = random === undefined ? 0 : gap();
  let before = 0;
  for (const { fromMs, toMs, from, to } of segmentsOf(plan)) {
    const seconds = (toMs - fromMs) / 1000;
    const starts = ((from + to) / 2) * seconds;
    const slope = (to - from) / seconds;
    // Rounding must make no start of the one that is due at the very end.
    while (due - before < starts - 1e-9) {
      const wanted = due - before;
      // The time x at which from * x + slope * x² / 2 is `wanted`, in a form that also holds for a slope of 0.
      const root = from + Math.sqrt(Math.max(0, from * from + 2 * slope * wanted));
      yield fromMs + (wanted === 0 ? 0 : (2000 * wanted) / root);
      due += gap();
    }
    before += starts;
  }
}

/** When user number `user` (from 0) is active in the closed model: while the level is more than that number. */
export function activeTimes(plan: Plan, user: number): { fromMs: number; toMs: number }[] {
  const times: { fromMs: number; toMs: number }[] = [];
  for (const { fromMs, toMs, from, to } of segmentsOf(plan)) {
    if (from <= user && to <= user) continue;
    const crossing = fromMs + ((user - from) / (to - from)) * (toMs - fromMs);
    const [start, end] = [from > user ? fromMs : crossing, to > user ? toMs : crossing];
    const last = times.at(-1);
    if (last !== undefined && last.toMs >= start) last.toMs = end;
    else times.push({ fromMs: start, toMs: end });
  }
  return times;
}
