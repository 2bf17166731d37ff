// load, run: reads the text format of Prometheus (its version 0.0.4, and what OpenMetrics has of it), as far as a sum over the
// series of a metric needs it.

/** One line: the value of one series. */
export interface MetricSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE =
  /^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?<labels>.*)\})?\s+(?<value>[-+]?(?:Inf|NaN|[\d.]+(?:[eE][-+]?\d+)?))(?:\s|$)/i;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPED: Readonly<Record<string, string>> = { n: '\n', '"': '"', '\\': '\\' };

/** Comments and lines that cannot be read are left out. */
export function parseMetrics(text: string): MetricSample[] {
  return text.split('\n').flatMap((line) => {
    const groups = line.startsWith('#') ? undefined : LINE.exec(line.trim())?.groups;
    if (groups === undefined) return [];
    const { name = '', labels = '', value = '' } = groups;
    const pairs = [...labels.matchAll(LABEL)].map(([, key = '', quoted = '']) => [
      key,
      quoted.replaceAll(/\\(.)/g, (whole, character: string) => ESCAPED[character] ?? whole),
    ]);
    return [{ name, labels: Object.fromEntries(pairs), value: numberOf(value) }];
  });
}

/** The sum of all series of a metric with these labels. undefined: there is none. */
export function sumOf(
  samples: readonly MetricSample[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const wanted = Object.entries(labels);
  const matching = samples.filter(
    (sample) =>
      // A counter may be named with or without the suffix that OpenMetrics gives it.
      (sample.name === name || sample.name === `${name}_total`) &&
      wanted.every(([key, value]) => sample.labels[key] === value),
  );
  if (matching.length === 0) return undefined;
  return matching.reduce((sum, { value }) => sum + value, 0);
}

function numberOf(text: string): number {
  const infinite = /^([-+]?)inf$/i.exec(text);
  if (infinite !== null) return infinite[1] === '-' ? -Infinity : Infinity;
  return Number(text);
}
