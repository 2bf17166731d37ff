// fuzz: all targets of the daemon's parsers, by who says what they read. Those of the agent are in guest/.

import type { FuzzTarget } from './target.ts';
import { archiveTargets } from './targets/archives.ts';
import { clientTargets } from './targets/clients.ts';
import { execTargets } from './targets/execs.ts';
import { watchLines } from './targets/file-watches.ts';
import { fileTargets } from './targets/files.ts';
import { guestAnswers } from './targets/guest-answers.ts';
import { guestTargets } from './targets/guests.ts';
import { hypervisorTargets } from './targets/hypervisors.ts';

export const TARGETS: readonly FuzzTarget[] = [
  ...guestTargets,
  ...execTargets,
  watchLines,
  guestAnswers,
  ...hypervisorTargets,
  ...fileTargets,
  ...archiveTargets,
  ...clientTargets,
];

/** RangeError for a name that none has. */
export function targetNamed(name: string): FuzzTarget {
  const found = TARGETS.find((target) => target.name === name);
  if (found === undefined) throw new RangeError(`there is no target named ${name}`);
  return found;
}
