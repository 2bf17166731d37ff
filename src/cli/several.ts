// cli: one thing done for several names: what fails for one does not keep the others, and the exit status is that
// of the worst.

import { EXIT, type Failure, ManyFailures, toFailure } from './exit.ts';
import type { Shell } from './shell.ts';

/** From harmless to bad: what is not there needs no work, and an unreachable daemon hides all else. */
const SEVERITY: readonly number[] = [
  EXIT.ok,
  EXIT.notFound,
  EXIT.conflict,
  EXIT.failed,
  EXIT.timeout,
  EXIT.usage,
  EXIT.unreachable,
];

/** Throws ManyFailures after the last name, or what was thrown where there is one name only. */
export async function forEachName(
  shell: Shell,
  names: readonly string[],
  act: (name: string) => Promise<void>,
): Promise<void> {
  if (names.length === 1) return act(names[0] ?? '');
  const failures: Failure[] = [];
  for (const name of names) {
    try {
      await act(name);
    } catch (error) {
      const failure = toFailure(error, shell.baseUrl);
      shell.tellFailure(failure);
      failures.push(failure);
      // The others would only wait for the same daemon.
      if (failure.exit === EXIT.unreachable) break;
    }
  }
  if (failures.length === 0) return;
  const exits = failures.map(({ exit }) => exit);
  const worst = exits.sort((one, other) => SEVERITY.indexOf(other) - SEVERITY.indexOf(one))[0];
  throw new ManyFailures(failures.length, worst ?? EXIT.failed);
}
