// lib: waiting until the last of several promises has settled.

/**
 * Resolves when all have resolved. When one rejects it still waits for the others, then rejects with the first error
 * in the list.
 */
export async function allDone(works: readonly (Promise<unknown> | undefined)[]): Promise<void> {
  for (const result of await Promise.allSettled(works)) {
    if (result.status === 'rejected') throw result.reason;
  }
}
