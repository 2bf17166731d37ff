// lib: waiting for several things at once, to the end of the last of them.

/**
 * Resolves when all have resolved. When one fails the others are waited for all the same; then it rejects with the first
 * error.
 */
export async function allDone(works: readonly (Promise<unknown> | undefined)[]): Promise<void> {
  for (const result of await Promise.allSettled(works)) {
    if (result.status === 'rejected') throw result.reason;
  }
}
