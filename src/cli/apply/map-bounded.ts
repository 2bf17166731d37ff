// cli, apply: asks the daemon about many objects, few at a time.

/** Maximum number of requests at the same time. */
const REQUESTS_MAX = 8;

/** The results in the order of the items. After a failure nothing more is begun, and it is thrown when the rest has ended. */
export async function mapBounded<T, R>(
  items: readonly T[],
  act: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const results = new Map<number, R>();
  const failures: unknown[] = [];
  const left = [...items.entries()];
  const actNext = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const [at, item] = next;
      try {
        results.set(at, await act(item));
      } catch (error) {
        failures.push(error);
        left.length = 0;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(REQUESTS_MAX, items.length) }, actNext));
  if (failures.length > 0) throw failures[0];
  return [...results].sort(([one], [other]) => one - other).map(([, result]) => result);
}
