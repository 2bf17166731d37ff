// lib: a cache for an expensive pure function of a text.

export interface RecentResultsBounds {
  readonly entriesMax: number;
  /** Longer texts are not cached, because they would take too much memory. */
  readonly charactersMax: number;
}

/** Returns the function with a cache of its most recent texts. */
export function withRecentResults<Result>(
  compute: (text: string) => Result,
  { entriesMax, charactersMax }: RecentResultsBounds,
): (text: string) => Result {
  // A Map keeps the order of insertion, so its first key is the least recently used.
  const results = new Map<string, Result>();
  return (text) => {
    if (text.length > charactersMax) return compute(text);
    const known = results.get(text);
    const result = known === undefined ? compute(text) : known;
    results.delete(text);
    results.set(text, result);
    const [oldest] = results.keys();
    if (results.size > entriesMax && oldest !== undefined) results.delete(oldest);
    return result;
  };
}
