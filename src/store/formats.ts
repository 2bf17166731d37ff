// store: migrates the state of an older daemon to the current format before it is used: all records in one
// transaction, after a copy was made. The conversion of each record is in upgrades.ts.

import { LIMITS } from '../config/limits.ts';
import { StartRefused } from '../lib/refusal.ts';
import { copyState } from './copies.ts';
import type { Env } from './env.ts';
import { rowOf } from './summaries.ts';
import { STORE_VERSION, type Tables } from './tables.ts';
import { vmOfPresentFormat } from './upgrades.ts';

/** The oldest numbered format. */
const FIRST_VERSION = 1;

/** A migration that was done: the old format, and the path of the copy in that format. */
export interface Migration {
  readonly from: number;
  readonly copy: string;
}

/**
 * Migrates the state if necessary. null: the state is new or has the current format. Throws StartRefused for a state
 * of a newer daemon.
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
      const record = vmOfPresentFormat(value);
      if (record !== value) tables.vms.put(key, record);
      tables.summaries.put(key, rowOf(record));
    }
    tables.meta.put('storeVersion', STORE_VERSION);
  });
  return { from: version, copy };
}
