// The wall clock can be set at any time, by an hour or more. Everything that must not be affected uses a monotonic clock.
// The files that may read the time of day are listed here with their reasons.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PROJECT_ROOT } from './helpers/capabilities.ts';

/** Asks for the time of day. */
const WALL_CLOCK =
  /\bDate\.now\(|\bnew Date\(\)|\bCLOCK_REALTIME\b|\bsystem_clock\b|\btime\(NULL\)/;

const MAY_ASK: Readonly<Record<string, string>> = {
  'native/guest/base/text.c': 'times in log lines',
  'scripts/lib/systems/debian-root.mjs': 'a date in the name of a snapshot',
  'scripts/lib/api/openapi-tools.mjs': 'times of files',
  'scripts/supervise.mjs': 'times in log lines',
  'src/cli/commands/keys.ts': 'keys expire at a date',
  'src/client/events.ts': 'a time that is shown',
  'src/engine/stats/vm-sampler.ts': 'the time of a reading, which is shown',
  'src/home/adoption.ts': 'times in records',
  'src/home/home.ts': 'a date in the name of a directory',
  'src/home/restore.ts': 'a date in the name of a directory',
  'src/http/access/key-ring.ts': 'keys expire at a date',
  'src/lib/clock.ts': 'the clock of the engine',
  'src/lib/files/key-file.ts': 'a time that is shown',
  'src/lib/log/log.ts': 'the times of lines',
  'src/load/run/run.ts': 'the time of a run, which is shown',
  'src/store/store.ts': 'a date in the name of a copy; a value that differs from the one before',
  'src/host/jobs/images/image-cache.ts': 'times of files',
  'src/host/jobs/images/provide-image.ts': 'times of files',
  'src/host/jobs/media/cache.ts': 'times of files',
  'src/host/jobs/media/download.ts': 'times of files',
  'src/host/jobs/media/image-server.ts': 'dates of files on a server that does not tell its own',
  'src/host/jobs/media/partial.ts': 'times of files',
  'src/host/jobs/process/host-readings.ts': 'the time of a reading, which is shown',
  'src/host/jobs/process/vm-figures.ts': 'the time of a reading, which is shown',
};

/** Counts or compares with the engine's wall clock. */
const ARITHMETIC =
  /nowMs\(\)\s*(?:[-+<>]|>=|<=)|[-+<>]\s*(?:this\.)?#?(?:parts\.)?#?clock\.nowMs\(\)/;

const MAY_COUNT: Readonly<Record<string, string>> = {
  'src/engine/state/idempotency.ts':
    'answers are kept for a day, over restarts of the daemon and the host',
  'src/engine/vm-record/deadline.ts':
    'the deadline of a VM holds over a restart of the host; within one boot its uptime counts',
};

const files = ['src', 'scripts', 'native'].flatMap((room) =>
  readdirSync(join(PROJECT_ROOT, room), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|mjs|c|cc|h)$/.test(name))
    .map((name) => join(room, name)),
);

const matching = (pattern: RegExp) =>
  files.filter((path) => pattern.test(readFileSync(join(PROJECT_ROOT, path), 'utf8'))).sort();

test('the time of day is asked for only where it is shown, or stored to be shown', () => {
  assert.deepEqual(matching(WALL_CLOCK), Object.keys(MAY_ASK).sort());
});

test('nothing is counted or compared by it', () => {
  assert.deepEqual(matching(ARITHMETIC), Object.keys(MAY_COUNT).sort());
});
