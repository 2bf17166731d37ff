// cli: runs an action for several names. A failure for one does not stop the others, and the exit status is that of the
// worst.

import { EXIT, type Failure, ManyFailures, toFailure } from './exit.ts';
import type { Shell } from './shell.ts';

/** From harmless to severe: a missing object needs no work, and an unreachable daemon hides all other failures. */
const SEVERITY: readonly number[] = [
  EXIT.ok,
  EXIT.notFound,
  EXIT.conflict,
  EXIT.failed,
  EXIT.timeout,
  EXIT.usage,
  EXIT.unreachable,
];

/** Throws ManyFailures after the last name, or the original error if there is only one name. */
export async function forEachName(
  shell: Shell,
  names: readonly string[],
  act: (name: string) => Promise<void>,
): Promise<void> {
  if (names.length === 1) return act(names[0] ?? '');
  const failures: Failure[] = [];
  for (const [index, name] of names.entries()) {
    shell.interrupts.notBegun = names.slice(index + 1);
    try {
      await act(name);
    } catch (error) {
      const failure = toFailure(error, shell.baseUrl);
      shell.printFailure(failure);
      failures.push(failure);
      // The daemon is unreachable for the other names, too.
      if (failure.exit === EXIT.unreachable) break;
    }
  }
  if (failures.length === 0) return;
  const exits = failures.map(({ exit }) => exit);
  const worst = exits.sort((one, other) => SEVERITY.indexOf(other) - SEVERITY.indexOf(one))[0];
  throw new ManyFailures(failures.length, worst ?? EXIT.failed);
}
