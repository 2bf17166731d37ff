// ui, parts: figures over time as lines, with their last values as text. The drawing is done by plot-canvas.ts, which is
// loaded when the first plot is shown.

import { useEffect, useRef } from 'preact/hooks';
import { theme } from '../base/theme.ts';
import type { PlotCanvas } from './plot-canvas.ts';

export interface Series {
  readonly label: string;
  /** One for each time; null where it is not known. */
  readonly values: readonly (number | null)[];
}

export interface PlotProps {
  readonly title: string;
  readonly timesMs: readonly number[];
  /** At most four. */
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
  /** Sizes in bytes: steps are powers of two. */
  readonly isBinary?: boolean;
}

export function Plot({ title, timesMs, series, format, isBinary = false }: PlotProps) {
  const element = useRef<HTMLDivElement>(null);
  const canvas = useRef<PlotCanvas | null>(null);
  const latest = useRef({ timesMs, series });
  latest.current = { timesMs, series };
  const chosen = theme.value;
  const labels = series.map(({ label }) => label).join(', ');
  useEffect(() => {
    let isShown = true;
    void import('./plot-canvas.ts').then(({ openPlot }) => {
      if (!isShown || element.current === null) return;
      canvas.current = openPlot(element.current, labels.split(', '), format, isBinary);
      canvas.current.show(latest.current.timesMs, latest.current.series);
    });
    return () => {
      isShown = false;
      canvas.current?.close();
      canvas.current = null;
    };
  }, [chosen, labels]);
  useEffect(() => canvas.current?.show(timesMs, series));
  return (
    <figure class="plot">
      <figcaption>
        <strong>{title}</strong>
        {series.map(({ label, values }, index) => (
          <span key={label} class={`plot-value plot-${index + 1}`}>
            {label} <b>{lastText(values, format)}</b>
          </span>
        ))}
      </figcaption>
      <div class="plot-canvas" ref={element} aria-hidden="true" />
    </figure>
  );
}

function lastText(values: Series['values'], format: PlotProps['format']): string {
  const last = values.at(-1);
  return last === null || last === undefined ? '–' : format(last);
}
