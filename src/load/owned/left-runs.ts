// load, owned: finds the runs whose VMs and deployments a daemon has, by the marks of what they made.

import type { VolantClient } from '../../client/client.ts';
import { ApiError } from '../../client/errors.ts';
import { LABEL_PATTERN, markOf, NAME_PREFIX, type RunOwner } from './labels.ts';
import { type OwnerState, stateOf } from './run-owner.ts';

const PAGE = 1000;
/** Of one run so many VMs are asked for their mark: another VM may have a name like that. */
const ASKED_PER_RUN_MAX = 5;

export interface FoundRun {
  readonly label: string;
  readonly state: OwnerState;
  /** Where it was started. */
  readonly host: string;
  readonly vms: number;
  readonly deployments: number;
}

/** Rejects with the errors of the client. What has a name of a run but no mark is no run. */
export async function findRuns(client: VolantClient): Promise<FoundRun[]> {
  const vms = await vmNames(client);
  const deployments = await client.deployments.list();
  const labels = [...vms, ...deployments.map(({ name }) => name)].flatMap(
    (name) => labelIn(name) ?? [],
  );
  const found: FoundRun[] = [];
  for (const label of new Set(labels)) {
    const own = deployments.filter(({ name }) => labelIn(name) === label);
    const names = vms.filter((name) => labelIn(name) === label);
    const marks = own.map(({ config }) => markOf(config));
    const owner = ownerIn(marks, label) ?? (await ownerOf(client, names, label));
    if (owner === undefined) continue;
    found.push({
      label,
      state: stateOf(owner),
      host: owner.host,
      vms: names.length,
      deployments: own.length,
    });
  }
  return found.sort((one, other) => (one.label < other.label ? -1 : 1));
}

async function vmNames(client: VolantClient): Promise<string[]> {
  const names: string[] = [];
  for (;;) {
    const query = { q: NAME_PREFIX, limit: PAGE, offset: names.length };
    const { vms, total } = await client.vms.list(query);
    names.push(...vms.map(({ name }) => name));
    if (vms.length === 0 || names.length >= total) return names;
  }
}

function labelIn(name: string): string | undefined {
  if (!name.startsWith(NAME_PREFIX)) return undefined;
  const [label = '', rest] = name.slice(NAME_PREFIX.length).split('-');
  return rest !== undefined && LABEL_PATTERN.test(label) ? label : undefined;
}

function ownerIn(marks: readonly (RunOwner | null)[], label: string): RunOwner | undefined {
  return marks.find((mark) => mark?.label === label) ?? undefined;
}

async function ownerOf(
  client: VolantClient,
  names: readonly string[],
  label: string,
): Promise<RunOwner | undefined> {
  for (const name of names.slice(0, ASKED_PER_RUN_MAX)) {
    try {
      const mark = markOf((await client.configs.get(name)).config);
      if (mark?.label === label) return mark;
    } catch (error) {
      // It went while it was asked.
      if (!(error instanceof ApiError && error.status === 404)) throw error;
    }
  }
  return undefined;
}
