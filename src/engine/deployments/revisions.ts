// engine, deployments: the revisions of a deployment: the configs that it has had. A revision is written in the
// transaction of the change that makes it; the oldest one is removed then. drafts.ts makes the changed record.

import { LIMITS } from '../../config/limits.ts';
import { toTimestamp } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type {
  DeploymentRevision,
  PatchDeploymentRequest,
  RollbackRequest,
} from '../../schema/deployment.ts';
import { requestIn } from '../events/cause.ts';
import type { StorePort, Write } from '../ports/store-ports.ts';
import type { DeploymentRecord, RevisionRecord } from '../records.ts';
import { changedMembers } from './changed-members.ts';

type Revisions = Pick<StorePort, 'revisions'>;

/** The kept revisions, the current one first. */
export function historyOf(store: Revisions, record: DeploymentRecord): readonly RevisionRecord[] {
  return known(store.revisions(record.name), record);
}

/** The writes for the revisions in the transaction of a change. `before` is undefined for a new deployment. */
export function writesOfRevision(
  store: Revisions,
  before: DeploymentRecord | undefined,
  after: DeploymentRecord,
  restoredFrom?: number | undefined,
): Write[] {
  if (before === undefined) {
    // Revisions of an earlier deployment of this name, removed by a daemon of an earlier version.
    const leftovers = store.revisions(after.name).map(removal);
    return [...leftovers, put(newRevision(after, []))];
  }
  const isNew = after.revision !== before.revision;
  if (!isNew && after.maxUnavailable === before.maxUnavailable) return [];
  const stored = store.revisions(before.name);
  const history = known(stored, before);
  if (isNew) {
    const changes = changedMembers(templateOf(before), templateOf(after));
    return writesTo(stored, [newRevision(after, changes, restoredFrom), ...history]);
  }
  const [current = undatedRevision(before), ...others] = history;
  return writesTo(stored, [{ ...current, maxUnavailable: after.maxUnavailable }, ...others]);
}

/** The writes that remove everything that is stored of a deployment. */
export function writesOfRemoval(store: Revisions, name: string): Write[] {
  return [{ table: 'deployments', key: name, value: null }, ...store.revisions(name).map(removal)];
}

/**
 * The revision that a rollback restores: the requested one, else the one before the current one. Throws
 * REVISION_NOT_FOUND.
 */
export function targetOf(
  store: Revisions,
  record: DeploymentRecord,
  { revision }: RollbackRequest,
): RevisionRecord {
  const history = historyOf(store, record);
  const target =
    revision === undefined ? history[1] : history.find((one) => one.revision === revision);
  if (target !== undefined) return target;
  const kept = history.map((one) => one.revision).join(', ');
  const what = revision === undefined ? 'no revision before this one' : `no revision ${revision}`;
  const details = { revisions: kept };
  const why = `Deployment ${record.name} has ${what}; it has ${kept}`;
  throw new VolantError('REVISION_NOT_FOUND', why, { details });
}

/** The change that restores the config of a revision. */
export function changeBackTo({ config, maxUnavailable }: RevisionRecord): PatchDeploymentRequest {
  return { config, max_unavailable: maxUnavailable };
}

/** A revision as the API shows it. */
export function shownRevision(record: RevisionRecord, current: number): DeploymentRevision {
  const { revision, createdAtMs, cause, changes, restoredFrom, maxUnavailable, config } = record;
  return {
    revision,
    current: revision === current,
    created_at: createdAtMs === null ? null : toTimestamp(createdAtMs),
    ...(cause === undefined ? {} : { cause: cause.by }),
    ...requestIn(cause),
    ...(cause?.client === undefined ? {} : { client: cause.client }),
    changes: [...changes],
    ...(restoredFrom === undefined ? {} : { restored_from: restoredFrom }),
    max_unavailable: maxUnavailable,
    config,
  };
}

function newRevision(
  record: DeploymentRecord,
  changes: readonly string[],
  restoredFrom?: number | undefined,
): RevisionRecord {
  const { cause, updatedAtMs } = record;
  return {
    ...undatedRevision(record),
    createdAtMs: updatedAtMs,
    ...(cause === undefined ? {} : { cause }),
    changes,
    ...(restoredFrom === undefined ? {} : { restoredFrom }),
  };
}

/** A revision that an earlier version did not store. When and why it was made is unknown. */
function undatedRevision(record: DeploymentRecord): RevisionRecord {
  const { name, revision, createdAtMs, config, maxUnavailable } = record;
  return {
    deployment: name,
    revision,
    deploymentCreatedAtMs: createdAtMs,
    config,
    maxUnavailable,
    createdAtMs: revision === 1 ? createdAtMs : null,
    changes: [],
  };
}

/**
 * The revisions of this deployment, without those of an earlier one of its name, and with the current one if an earlier
 * version did not store it.
 */
function known(
  stored: readonly RevisionRecord[],
  record: DeploymentRecord,
): readonly RevisionRecord[] {
  const { revision, createdAtMs } = record;
  const own = stored.filter(
    (one) => one.deploymentCreatedAtMs === createdAtMs && one.revision <= revision,
  );
  const history = own[0]?.revision === revision ? own : [undatedRevision(record), ...own];
  return history.slice(0, LIMITS.deploymentRevisionsMax);
}

/** The members that a revision keeps, under their API names. */
function templateOf({ config, maxUnavailable }: DeploymentRecord) {
  return { ...config, max_unavailable: maxUnavailable };
}

/** The writes from the stored revisions to this history, within its bound. Unchanged ones are not written. */
function writesTo(stored: readonly RevisionRecord[], history: readonly RevisionRecord[]): Write[] {
  const kept = history.slice(0, LIMITS.deploymentRevisionsMax);
  const isKept = ({ revision }: RevisionRecord) => kept.some((one) => one.revision === revision);
  return [
    ...stored.filter((one) => !isKept(one)).map(removal),
    ...kept.filter((one) => !stored.includes(one)).map(put),
  ];
}

function put(value: RevisionRecord): Write {
  return { table: 'revisions', key: [value.deployment, value.revision], value };
}

function removal({ deployment, revision }: RevisionRecord): Write {
  return { table: 'revisions', key: [deployment, revision], value: null };
}
