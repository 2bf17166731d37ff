// lib, metrics: families -> text, in the format of Prometheus (Prometheus documentation, "Exposition formats") or in
// OpenMetrics 1.0. The text is generated in pieces, so that thousands of samples do not keep a thread busy at once.

import type { Family, MetricType } from './family.ts';

export type ExpositionFormat = 'prometheus' | 'openmetrics';

export const EXPOSITION_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/** The suffix that is part of a metric's name in the format of Prometheus, and of its samples only in OpenMetrics. */
const NAME_SUFFIX: Partial<Record<MetricType, string>> = { counter: '_total', info: '_info' };

/**
 * The format that an Accept header asks for. Prometheus sends both with weights (`q`); OpenMetrics is taken if its weight
 * is at least that of plain text.
 */
export function formatFor(accept: string): ExpositionFormat {
  let openmetrics = 0;
  let text = 0;
  for (const range of accept.toLowerCase().split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    const weight = weightIn(parameters);
    // Only what this daemon writes: a reader may ask for a version that is not there yet.
    const version = parameters.find((one) => one.startsWith('version='))?.slice(8);
    const isKnown = version === undefined || version === '1.0.0' || version === '0.0.1';
    if (type === 'application/openmetrics-text' && isKnown) {
      openmetrics = Math.max(openmetrics, weight);
    } else if (['text/plain', 'text/*', '*/*'].includes(type)) text = Math.max(text, weight);
  }
  return openmetrics > 0 && openmetrics >= text ? 'openmetrics' : 'prometheus';
}

function weightIn(parameters: readonly string[]): number {
  const weight = Number(parameters.find((one) => one.startsWith('q='))?.slice(2) ?? '1');
  return weight >= 0 && weight <= 1 ? weight : 0;
}

/** The text of the families, in pieces of about this length. */
export function* exposition(
  families: Iterable<Family>,
  format: ExpositionFormat,
  pieceCharacters: number,
): Generator<string, void, void> {
  let piece = '';
  for (const family of families) {
    const { name } = family;
    piece += headOf(family, format);
    for (const [suffix, labels, value] of family.samples()) {
      piece += `${name}${suffix}${labels} ${valueText(value)}\n`;
      if (piece.length < pieceCharacters) continue;
      yield piece;
      piece = '';
    }
  }
  if (format === 'openmetrics') piece += '# EOF\n';
  if (piece !== '') yield piece;
}

function headOf({ name, type, help }: Family, format: ExpositionFormat): string {
  const isOpen = format === 'openmetrics';
  const full = isOpen ? name : `${name}${NAME_SUFFIX[type] ?? ''}`;
  const shownType = type === 'info' && !isOpen ? 'gauge' : type;
  return `# HELP ${full} ${help}\n# TYPE ${full} ${shownType}\n`;
}

function valueText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value);
}
