// lib, files: reports changes of a few files, by polling. Polling sees renames, mounts and files that do not exist
// yet, and never blocks the main thread.

import { stat } from 'node:fs/promises';
import { markOf } from './private-file.ts';

/** Returns the marks of files in their order; the error code for one that cannot be read. */
export async function marksOf(paths: readonly string[]): Promise<string> {
  const marks = await Promise.all(
    paths.map((path) => stat(path).then(markOf, (error: NodeJS.ErrnoException) => error.code)),
  );
  return marks.join('\n');
}

/**
 * Calls back when the marks differ from the last ones, one call at a time. The callback must not reject. Returns a
 * function that ends the watch.
 */
export function watchFiles(
  paths: readonly string[],
  everyMs: number,
  seen: string,
  onChange: () => Promise<void>,
): () => void {
  let last = seen;
  let busy = false;
  let ended = false;
  const look = async () => {
    if (busy) return;
    busy = true;
    const marks = await marksOf(paths);
    if (marks !== last && !ended) {
      last = marks;
      await onChange();
    }
    busy = false;
  };
  const timer = setInterval(() => void look(), everyMs).unref();
  return () => {
    ended = true;
    clearInterval(timer);
  };
}
