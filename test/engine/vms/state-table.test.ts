// engine, vms: the status and the next step of every pair of what is wanted and what was observed, as a table. A line that
// changes here is a change of what a VM does: read it as one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VmRecord } from '../../../src/engine/records.ts';
import { statusOf } from '../../../src/engine/vm-record/status.ts';
import { nextStep, type RuntimeFacts } from '../../../src/engine/vms/next-step.ts';
import { vmRecord } from '../../store/vm-record.ts';

const WANTED = ['running', 'stopped', 'deleted'] as const;
const BOTH = [false, true] as const;
const PROCESS = { pid: 1, startTimeTicks: 1, bootId: 'b' };

const GONE: RuntimeFacts = {
  process: 'gone',
  isReleased: false,
  releaseFailed: false,
  launchFailed: false,
};
const ALIVE: RuntimeFacts = { ...GONE, process: 'alive' };

/** The columns of the table: what the daemon sees. */
const SIGHTS: readonly RuntimeFacts[] = [
  ALIVE,
  { ...ALIVE, launchFailed: true },
  GONE,
  { ...GONE, releaseFailed: true },
  { ...GONE, isReleased: true },
  { ...GONE, isReleased: true, launchFailed: true },
];

interface Row {
  readonly name: string;
  readonly record: VmRecord;
}

/** Every record that can be told apart: `owed` is a launch that was neither carried out nor given up. */
function rows(): Row[] {
  return WANTED.flatMap((state) =>
    BOTH.flatMap((isLaunchNeeded) =>
      BOTH.flatMap((hasProcess) =>
        BOTH.flatMap((isReleased) =>
          BOTH.map((neverRan) => ({
            name: [
              state,
              isLaunchNeeded ? 'owed' : '-',
              hasProcess ? 'process' : '-',
              isReleased ? 'released' : '-',
              neverRan ? 'new' : '-',
            ].join(' '),
            record: vmRecord(1, {
              wanted: { state, launch: 2 },
              observed: { launch: isLaunchNeeded ? 1 : 2, attempt: 1, end: 'crashed', isReleased },
              process: hasProcess ? PROCESS : null,
              neverRan,
            }),
          })),
        ),
      ),
    ),
  );
}

function lineOf({ name, record }: Row): string {
  const steps = SIGHTS.map((sight) => nextStep(record, sight) ?? '.');
  return [name, statusOf(record), ...steps].join(' ');
}

/** wanted, launch, process and leftovers of the record, whether it never ran | status | a step for each of SIGHTS. */
const TABLE = `
  running -    -       -        -   | crashed  | end          end          release      release      noteReleased noteReleased
  running -    -       -        new | crashed  | end          end          release      release      forget       forget
  running -    -       released -   | crashed  | end          end          release      release      .            .
  running -    -       released new | crashed  | end          end          release      release      forget       forget
  running -    process -        -   | running  | .            .            release      noteEnd      noteEnd      noteEnd
  running -    process -        new | running  | .            .            release      noteEnd      noteEnd      noteEnd
  running -    process released -   | running  | .            .            release      noteEnd      noteEnd      noteEnd
  running -    process released new | running  | .            .            release      noteEnd      noteEnd      noteEnd
  running owed -       -        -   | starting | noteRunning  end          release      release      launch       noteFailure
  running owed -       -        new | starting | noteRunning  end          release      release      launch       forget
  running owed -       released -   | starting | noteRunning  end          release      release      launch       noteFailure
  running owed -       released new | starting | noteRunning  end          release      release      launch       forget
  running owed process -        -   | stopping | end          end          release      release      noteReleased noteFailure
  running owed process -        new | stopping | end          end          release      release      noteReleased forget
  running owed process released -   | stopping | end          end          release      release      noteReleased noteFailure
  running owed process released new | stopping | end          end          release      release      noteReleased forget
  stopped -    -       -        -   | stopping | end          end          release      release      noteReleased noteReleased
  stopped -    -       -        new | stopping | end          end          release      release      forget       forget
  stopped -    -       released -   | stopped  | end          end          release      release      .            .
  stopped -    -       released new | stopped  | end          end          release      release      forget       forget
  stopped -    process -        -   | stopping | end          end          release      release      noteReleased noteReleased
  stopped -    process -        new | stopping | end          end          release      release      forget       forget
  stopped -    process released -   | stopping | end          end          release      release      noteReleased noteReleased
  stopped -    process released new | stopping | end          end          release      release      forget       forget
  stopped owed -       -        -   | stopping | noteRunning  end          release      release      noteReleased noteReleased
  stopped owed -       -        new | stopping | noteRunning  end          release      release      forget       forget
  stopped owed -       released -   | stopped  | noteRunning  end          release      release      .            .
  stopped owed -       released new | stopped  | noteRunning  end          release      release      forget       forget
  stopped owed process -        -   | stopping | end          end          release      release      noteReleased noteReleased
  stopped owed process -        new | stopping | end          end          release      release      forget       forget
  stopped owed process released -   | stopping | end          end          release      release      noteReleased noteReleased
  stopped owed process released new | stopping | end          end          release      release      forget       forget
  deleted -    -       -        -   | deleting | end          end          release      release      forget       forget
  deleted -    -       -        new | deleting | end          end          release      release      forget       forget
  deleted -    -       released -   | deleting | end          end          release      release      forget       forget
  deleted -    -       released new | deleting | end          end          release      release      forget       forget
  deleted -    process -        -   | deleting | end          end          release      release      forget       forget
  deleted -    process -        new | deleting | end          end          release      release      forget       forget
  deleted -    process released -   | deleting | end          end          release      release      forget       forget
  deleted -    process released new | deleting | end          end          release      release      forget       forget
  deleted owed -       -        -   | deleting | end          end          release      release      forget       forget
  deleted owed -       -        new | deleting | end          end          release      release      forget       forget
  deleted owed -       released -   | deleting | end          end          release      release      forget       forget
  deleted owed -       released new | deleting | end          end          release      release      forget       forget
  deleted owed process -        -   | deleting | end          end          release      release      forget       forget
  deleted owed process -        new | deleting | end          end          release      release      forget       forget
  deleted owed process released -   | deleting | end          end          release      release      forget       forget
  deleted owed process released new | deleting | end          end          release      release      forget       forget
`;

test('each pair of wanted and observed has the status and the next steps of the table', () => {
  const expected = TABLE.trim()
    .split('\n')
    .map((line) => line.trim().replace(/[\s|]+/g, ' '));
  assert.deepEqual(rows().map(lineOf), expected);
});

test('before the first look at the host nothing is done but that look', () => {
  for (const { name, record } of rows()) {
    for (const sight of SIGHTS) {
      assert.equal(nextStep(record, { ...sight, process: 'unknown' }), 'look', name);
    }
  }
});

test('how it ended is the status of what is wanted to run and does not, and of nothing else', () => {
  for (const { name, record } of rows()) {
    for (const end of [null, 'stopped', 'crashed'] as const) {
      const status = statusOf({ ...record, observed: { ...record.observed, end } });
      const isEnd = /^running - - /.test(name);
      assert.equal(status, isEnd ? (end ?? 'stopped') : statusOf(record), name);
    }
  }
});
