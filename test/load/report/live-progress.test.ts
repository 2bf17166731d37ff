// What is shown while a run runs, in a terminal and in a log.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { liveProgress } from '../../../src/load/report/live-progress.ts';
import type { RunProgress } from '../../../src/load/report/run-report.ts';
import { latency, operation, report } from './sample-report.ts';

function progress(atMs: number): RunProgress {
  const [sample] = report().samples;
  assert.ok(sample);
  return {
    sample: { ...sample, atMs, latency: latency(20) },
    phase: {
      name: 'spike',
      kind: 'spike',
      model: 'open',
      number: 1,
      count: 2,
      startMs: 0,
      durationMs: 60_000,
      level: 50,
    },
    plannedMs: 60_000,
    total: operation('total', { kind: 'total' }),
    operations: [],
    thresholds: report().thresholds,
  };
}

function shown(isTTY: boolean, columns: number) {
  const written: string[] = [];
  const stream = { write: (text: string) => void written.push(text), isTTY, columns };
  return { written, observer: liveProgress(stream) };
}

test('a log gets a line every ten seconds, without control characters', () => {
  const { written, observer } = shown(false, 80);
  observer.onNote?.('20 VMs are made');
  for (let second = 0; second < 21; second += 1) observer.onSample?.(progress(second * 1000));
  assert.equal(written.length, 1 + 3);
  assert.ok(written.every((text) => !text.includes('\u001b') && text.endsWith('\n')));
  assert.match(written[1] ?? '', /phase 1 of 2: spike, 50\/s due, 8\/s, p50 20 ms/);
});

test('a terminal shows the same lines again, none of them longer than it is wide', () => {
  const { written, observer } = shown(true, 40);
  for (let second = 0; second < 3; second += 1) observer.onSample?.(progress(second * 1000));
  const lines = written.join('').replaceAll('\u001b[4A\u001b[J', '').split('\n');
  assert.ok(
    lines.every((line) => [...line].length < 40),
    lines.join('\n'),
  );
  // Four lines were written, so the cursor goes up four.
  assert.equal(written.filter((text) => text === '\u001b[4A\u001b[J').length, 2);
  assert.match(written.at(-1) ?? '', /does not hold now: create\.p99/);
  observer.onEnd?.(report());
  assert.equal(written.at(-1), '\u001b[4A\u001b[J');
});
