// load, scenario: the scenarios that come with volant-load. They are files in the directory `scenarios` of the package.

import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { packageFile } from '../../lib/files/own-files.ts';

const ENDING = '.yaml';

const DIRECTORY = packageFile('scenarios');

/** Names, in the order of the alphabet. */
export function shippedScenarios(): readonly string[] {
  return readdirSync(DIRECTORY)
    .filter((file) => file.endsWith(ENDING))
    .map((file) => basename(file, ENDING))
    .sort();
}

/** A path stays as it is; a plain word may be the name of a scenario that comes with volant-load. */
export function scenarioPath(given: string): string {
  const isName = /^[a-z][a-z0-9-]*$/.test(given) && !existsSync(given);
  return isName && shippedScenarios().includes(given)
    ? join(DIRECTORY, `${given}${ENDING}`)
    : given;
}
