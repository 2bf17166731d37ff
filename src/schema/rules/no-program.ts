// schema: rules for a workload of type none: the VM runs no program of its own, so members that describe one mean nothing and are
// refused. Pure.

import type { HealthCheck, ManifestInput, Workload } from '../manifest.ts';
import { healthCheckType } from './health-check-rules.ts';

type WorkloadInput = NonNullable<ManifestInput['workload']>;

/** Members that describe a program, and what is wrong with each where there is none. */
const REFUSED: Readonly<Record<Exclude<keyof WorkloadInput, 'type'>, string>> = {
  base_url: 'goes with a program: with type none nothing listens at it',
  entrypoint: 'goes with a program: with type none nothing is started; run programs with exec',
  args: 'goes with a program: with type none nothing is started; run programs with exec',
  env: 'goes with a program: with type none give the variables to each exec',
  workdir: 'goes with a program: with type none give the directory to each exec',
  user: 'goes with a program: with type none give the user to each exec',
  stop_signal: 'goes with a program: with type none no program is asked to end',
  restart: 'goes with a program: with type none no program ends; the VM runs until it is stopped',
};

const MEMBERS = Object.keys(REFUSED) as (keyof typeof REFUSED)[];

/** The workload of a VM that runs no program. Problems are added to `problems`, keyed by path. */
export function workloadOfNone(given: WorkloadInput, problems: Record<string, string>): Workload {
  for (const member of MEMBERS) {
    if (isGiven(given[member])) problems[`workload.${member}`] = REFUSED[member];
  }
  return { type: 'none', entrypoint: [] };
}

/** What cannot be checked without a program: a request, and a port that nothing names. */
export function checkHealthOfNone(check: HealthCheck, problems: Record<string, string>): void {
  const type = healthCheckType(check);
  if (type === 'http') {
    problems['health_check.endpoint'] =
      'needs a base_url, which a workload of type none has not; port and command need none';
  } else if (type === 'tcp' && check.port === undefined) {
    problems['health_check.port'] = 'is required with a workload of type none';
  }
}

/** Empty texts, lists and objects say nothing. */
function isGiven(value: WorkloadInput[keyof typeof REFUSED]): boolean {
  if (value === undefined) return false;
  return typeof value === 'string' ? value.trim() !== '' : Object.keys(value).length > 0;
}
