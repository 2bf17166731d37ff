// test fixture: fills the small disk it is given by commits, makes room, continues, and reports.

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EventBody } from '../../src/engine/records.ts';
import { VolantError } from '../../src/lib/errors.ts';
import { openStore } from '../../src/store/store.ts';
import { silentLog } from '../engine/fakes.ts';

export interface FullDiskReport {
  readonly acknowledged: number;
  readonly codes: readonly string[];
  readonly cause: string;
  /** The code of the error; null when the probe succeeds. */
  readonly probeWhileFull: string | null;
  readonly nextSequence: number | undefined;
  readonly probeAfter: string | null;
  readonly strayRejections: readonly string[];
  readonly sequencesAfterReopen: readonly number[];
  readonly nameAfterReopen: string | undefined;
}

const disk = process.argv[2] ?? '';
const state = join(disk, 'state');
const ballast = join(disk, 'ballast');
/** More commits of 20 kB than fit on any disk that this test is given. */
const COMMITS_MAX = 1_000;

const strayRejections: string[] = [];
process.on('unhandledRejection', (reason) => strayRejections.push(String(reason)));

function event(name: string, message = ''): EventBody {
  return { type: 'X', name, status: '', timestamp: '', message };
}

function codeOf(probe: Promise<void>): Promise<string | null> {
  return probe.then(
    () => null,
    (error: VolantError) => error.code,
  );
}

writeFileSync(ballast, Buffer.alloc(2 * 1024 * 1024));
const store = openStore(state, silentLog);
const failures: VolantError[] = [];
let acknowledged = 0;
for (let count = 0; failures.length < 2 && count < COMMITS_MAX; count += 1) {
  try {
    await store.commit([], [event('filler', 'x'.repeat(20_000))]);
    acknowledged += 1;
  } catch (error) {
    if (!(error instanceof VolantError)) throw error;
    failures.push(error);
  }
}
const probeWhileFull = await codeOf(store.probe());
rmSync(ballast);
const [stored] = await store.commit([], [event('after')]);
const probeAfter = await codeOf(store.probe());
await store.close();
const again = openStore(state, silentLog);
const events = again.eventsAfter(0, COMMITS_MAX);
await again.close();

const report: FullDiskReport = {
  acknowledged,
  codes: failures.map(({ code }) => code),
  cause: String(failures[0]?.cause),
  probeWhileFull,
  nextSequence: stored?.sequence,
  probeAfter,
  strayRejections,
  sequencesAfterReopen: events.map(({ sequence }) => sequence),
  nameAfterReopen: events.at(-1)?.body.name,
};
process.stdout.write(JSON.stringify(report));
