// ui, parts: draws lines with uPlot. Load it with import(): only pages with plots need it. uPlot sets styles through the object
// model of CSS, which the content security policy allows.

import uPlot from 'uplot';

/** As the component has it. */
interface Line {
  readonly values: readonly (number | null)[];
}

export interface PlotCanvas {
  show(timesMs: readonly number[], series: readonly Line[]): void;
  close(): void;
}

const HEIGHT_PX = 150;
/** The first samples are not stretched over the whole width. */
const SECONDS_MIN = 60;
const COLOURS = ['--plot-1', '--plot-2', '--plot-3', '--plot-4'] as const;

/** Steps of sizes, so that an axis has 64 MiB and not 47.7 MiB. */
const BINARY_STEPS = Array.from({ length: 50 }, (_, exponent) => 2 ** exponent);

/** Follows the width of the element. Colours are those of the theme at the time of the call. */
export function openPlot(
  element: HTMLElement,
  labels: readonly string[],
  format: (value: number) => string,
  isBinary: boolean,
): PlotCanvas {
  const axis = {
    stroke: colourOf(element, '--dim'),
    grid: { stroke: colourOf(element, '--line'), width: 1 },
    ticks: { show: false },
    font: '11px system-ui, sans-serif',
  };
  const plot = new uPlot(
    {
      width: Math.max(1, element.clientWidth),
      height: HEIGHT_PX,
      legend: { show: false },
      cursor: { show: false },
      padding: [8, 12, 0, 0],
      scales: {
        x: { range: (_plot, from, to) => [Math.min(from, to - SECONDS_MIN), to] },
        y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.1 : 1] },
      },
      axes: [
        { ...axis, size: 26, space: 90, values: (_plot, times) => times.map(clockText) },
        {
          ...axis,
          size: 76,
          values: (_plot, values) => values.map(format),
          ...(isBinary ? { incrs: [...BINARY_STEPS] } : {}),
        },
      ],
      series: [
        {},
        ...labels.map((label, index) => ({
          label,
          stroke: colourOf(element, COLOURS[index] ?? '--dim'),
          width: 1.5,
          points: { show: false },
        })),
      ],
    },
    [[], ...labels.map(() => [])],
    element,
  );
  const observer = new ResizeObserver(() =>
    plot.setSize({ width: Math.max(1, element.clientWidth), height: HEIGHT_PX }),
  );
  observer.observe(element);
  return {
    show: (timesMs, series) => {
      const times = timesMs.map((timeMs) => timeMs / 1_000);
      const lines = series.map(({ values }) => [...values]);
      const [only] = times;
      // Of one moment uPlot would make an axis of a day.
      if (times.length !== 1 || only === undefined) plot.setData([times, ...lines]);
      else plot.setData([[only - SECONDS_MIN, only], ...lines.map((line) => [null, ...line])]);
    },
    close: () => {
      observer.disconnect();
      plot.destroy();
    },
  };
}

/** `14:03:20`, in the zone of the browser. */
const clockText = (seconds: number): string => new Date(seconds * 1_000).toTimeString().slice(0, 8);

/** A canvas knows no variables, and a variable can be one of two colours. */
function colourOf(element: HTMLElement, variable: string): string {
  const before = element.style.color;
  element.style.color = `var(${variable})`;
  const colour = getComputedStyle(element).color;
  element.style.color = before;
  return colour;
}
