// lib: tells when one of a few files has become another one. By looking now and then, which sees renames,
// mounts and files that are not there yet alike, and never waits for a disk on the main thread.

import { stat } from 'node:fs/promises';
import { markOf } from './private-file.ts';

/** The marks of files, in their order; the error where one cannot be looked at. */
export async function marksOf(paths: readonly string[]): Promise<string> {
  const marks = await Promise.all(
    paths.map((path) => stat(path).then(markOf, (error: NodeJS.ErrnoException) => error.code)),
  );
  return marks.join('\n');
}

/**
 * Calls back when the marks are others than those that were seen last, one call at a time. The callback
 * must not reject. Returns the end of it.
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
