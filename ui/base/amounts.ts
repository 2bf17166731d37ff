// ui, base: sizes, rates and shares as text. Times are in time.ts.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `512 MiB`, `1.5 GiB`. */
export function bytes(sizeBytes: number): string {
  let [size, index] = [sizeBytes, 0];
  while (size >= 1024 && index < UNITS.length - 1) {
    size /= 1024;
    index += 1;
  }
  return `${decimal(size)} ${UNITS[index]}`;
}

export const bytesPerSecond = (rate: number): string => `${bytes(rate)}/s`;

export const percent = (share: number): string => `${decimal(share)} %`;

export const milliseconds = (durationMs: number): string => `${decimal(durationMs)} ms`;

/** At most one digit after the point, and none that is 0. */
export function decimal(value: number): string {
  const text = value.toFixed(value >= 100 ? 0 : 1);
  return text.endsWith('.0') ? text.slice(0, -2) : text;
}
