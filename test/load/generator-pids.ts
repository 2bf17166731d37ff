// test helpers: the generator processes of a run that this process makes.

import { readFileSync } from 'node:fs';

function children(): readonly number[] {
  const text = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

/** Call it before the run. The function that it gives out finds a process that was started since then. */
export function watchGenerators(): () => number {
  const before = new Set(children());
  return () => {
    const found = children().find((pid) => !before.has(pid));
    if (found === undefined) throw new Error('There is no generator process');
    return found;
  };
}
