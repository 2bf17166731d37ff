// bench: what a fleet came to, in figures and in words.

import { formatTable, numberText } from './row.ts';

export interface FleetFigure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
}

export interface FleetReport {
  readonly title: string;
  readonly figures: readonly FleetFigure[];
  /** What ends first when the fleet grows. */
  readonly limit: string;
}

export function fleetLines({
  figures,
  limit,
}: FleetReport): readonly (readonly [string, string])[] {
  const lines = figures.map(({ what, value, unit }) => {
    const figure = Number.isInteger(value) ? String(value) : numberText(value);
    return [what, `${figure} ${unit}`.trim()] as const;
  });
  return [...lines, ['limit', limit] as const];
}

export function formatFleet(report: FleetReport): string {
  return `${report.title}\n\n${formatTable(['what', 'figure'], fleetLines(report))}`;
}

/** A resource of the host or of the daemon, and how many VMs it is enough for. */
export interface Capacity {
  readonly what: string;
  readonly vms: number;
}

/** The scarcest, and the next one. */
export function limitText(capacities: readonly Capacity[]): string {
  const known = capacities.filter(({ vms }) => Number.isFinite(vms));
  const [first, second] = [...known].sort((a, b) => a.vms - b.vms);
  if (first === undefined) return 'none is known';
  const about = ({ what, vms }: Capacity) => `${what}: enough for about ${Math.floor(vms)} VMs`;
  return second === undefined ? about(first) : `${about(first)}; then ${about(second)}`;
}
