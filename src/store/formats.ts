// store: a state that an older daemon wrote is brought to the present format before it is used: all of it, in one
// transaction, after a copy was made. What changes in a record is in upgrades.ts.

import { LIMITS } from '../config.ts';
import { StartRefused } from '../lib/refusal.ts';
import { copyState } from './copies.ts';
import type { Env } from './env.ts';
import { STORE_VERSION, type Tables } from './tables.ts';
import { vmOfPresentFormat } from './upgrades.ts';

/** The oldest format that had a number. */
const FIRST_VERSION = 1;

/** What was done to a state: where the copy of its old format is. */
export interface Migration {
  readonly from: number;
  readonly copy: string;
}

/**
 * null when there is nothing to do: the state is new, or has the present format. StartRefused for one that a newer daemon
 * wrote.
 */
export function migrate(
  env: Env,
  tables: Tables,
  directory: string,
  nowMs: number,
): Migration | null {
  const version = tables.meta.get('storeVersion');
  if (typeof version !== 'number' || version === STORE_VERSION) return null;
  if (version > STORE_VERSION || version < FIRST_VERSION) {
    throw new StartRefused(
      `the state was written by a newer volantd (format ${version}, this one knows ${STORE_VERSION}): start that one, or restore a backup that is older`,
    );
  }
  const copy = copyState(directory, `format-${version}`, nowMs, LIMITS.stateCopiesMax);
  env.writeNow(() => {
    for (const { key, value } of [...tables.vms.range({})]) {
      tables.vms.put(key, vmOfPresentFormat(value));
    }
    tables.meta.put('storeVersion', STORE_VERSION);
  });
  return { from: version, copy };
}
