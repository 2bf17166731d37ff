// http, exchange: parses query parameters into values. PARAMETER_INVALID names every parameter that is wrong.

import { VolantError } from '../../lib/errors.ts';

/** Above this, whole numbers are not exact. */
const COUNT_MAX = Number.MAX_SAFE_INTEGER;

export class Query {
  readonly #parameters: URLSearchParams;
  readonly #problems: Record<string, string> = {};

  /** `text` is the part of a URL after "?". */
  constructor(text: string) {
    this.#parameters = new URLSearchParams(text);
  }

  text(name: string): string | undefined {
    return this.#parameters.get(name) || undefined;
  }

  /** The values of a parameter that may be repeated or separated by commas. */
  list(name: string): readonly string[] {
    return this.#parameters
      .getAll(name)
      .flatMap((value) => value.split(','))
      .map((value) => value.trim())
      .filter((value) => value !== '');
  }

  /** A whole number that is not negative. */
  count(name: string, max?: number): number | undefined {
    const value = this.#parameters.get(name);
    if (value === null) return undefined;
    const count = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    if (count <= (max ?? COUNT_MAX)) return count;
    const isTooLarge = max === undefined && !Number.isNaN(count);
    this.#problems[name] = isTooLarge
      ? `must be at most ${COUNT_MAX}`
      : `must be a whole number, 0 ${max === undefined ? 'or more' : `to ${max}`}`;
    return undefined;
  }

  /** true, false, or absent, which is false. */
  flag(name: string): boolean {
    return this.decision(name, ['true', 'false'], 'false') === 'true';
  }

  /** For parameters of a change: an empty value is a problem, because its meaning is unclear. */
  decision<const T extends string>(name: string, choices: readonly T[], fallback: T): T {
    const value = this.#parameters.get(name)?.toLowerCase();
    if (value === undefined) return fallback;
    return this.#oneOf(name, value, choices) ?? fallback;
  }

  choice<const T extends string>(name: string, choices: readonly T[], fallback: T): T {
    const value = this.text(name)?.toLowerCase();
    if (value === undefined) return fallback;
    return this.#oneOf(name, value, choices) ?? fallback;
  }

  choices<const T extends string>(name: string, choices: readonly T[]): readonly T[] {
    return this.list(name).flatMap(
      (value) => this.#oneOf(name, value.toLowerCase(), choices) ?? [],
    );
  }

  /** Like choices(), for values written in capitals. */
  capitals<const T extends string>(name: string, choices: readonly T[]): readonly T[] {
    return this.list(name).flatMap(
      (value) => this.#oneOf(name, value.toUpperCase(), choices) ?? [],
    );
  }

  /** Problems of the parameters that were read so far, by name. */
  get problems(): Readonly<Record<string, string>> {
    return this.#problems;
  }

  /** Throws PARAMETER_INVALID if a parameter was wrong. Call it after the last parameter was read. */
  throwProblems(): void {
    throwProblemsOf(this);
  }

  #oneOf<T extends string>(name: string, value: string, choices: readonly T[]): T | undefined {
    const found = choices.find((choice) => choice === value);
    if (found === undefined) this.#problems[name] = `must be one of ${choices.join(', ')}`;
    return found;
  }
}

/** Throws PARAMETER_INVALID with the problems of all queries, if there are any. */
export function throwProblemsOf(...queries: readonly Pick<Query, 'problems'>[]): void {
  const details = Object.assign({}, ...queries.map(({ problems }) => problems));
  if (Object.keys(details).length === 0) return;
  throw new VolantError('PARAMETER_INVALID', undefined, { details });
}
