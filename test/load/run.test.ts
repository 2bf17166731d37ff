// load: runs against a server whose slowness is known: what is measured, from when, and when a run is not believed.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { RunProgress } from '../../src/load/report/run-report.ts';
import { runLoad } from '../../src/load/run/run.ts';
import { parseCondition } from '../../src/load/scenario/condition.ts';
import { assertNear, nearestRank } from './arithmetic.ts';
import { lists, optionsOf, PATIENT, rawRows, startFakeDaemon, strict } from './fake-daemon.ts';
import { watchGenerators } from './generator-pids.ts';

function rawFileIn(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-load-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'raw.csv');
}

const at = (rate: number, seconds: number) => ({
  kind: 'constant',
  duration_seconds: seconds,
  rate_per_second: rate,
});

test('starts do not wait for a slow server, and latency counts from when they were due', async (t) => {
  // One request after the other, 100 ms each: at 20 a second the queue grows by ten a second.
  let busyUntilMs = 0;
  const daemon = await startFakeDaemon(t, (answer) => {
    busyUntilMs = Math.max(busyUntilMs, performance.now()) + 100;
    setTimeout(() => answer(200, []), busyUntilMs - performance.now());
  });
  const rawFile = rawFileIn(t);
  const report = await runLoad(optionsOf(daemon, lists([at(20, 2)]), { rawFile }));
  assert.equal(report.verdict, 'passed', report.reasons.join());
  const rows = rawRows(readFileSync(rawFile, 'utf8'));
  assert.equal(rows.length, 40);
  const intended = rows.map((row) => row.intendedMs).toSorted((one, other) => one - other);
  assert.deepEqual(
    intended,
    Array.from({ length: 40 }, (_, index) => index * 50),
  );
  const { latency, count } = report.total;
  assert.deepEqual([count, latency.count], [40, 40]);
  const latencies = rows.map(({ intendedMs, endMs }) => endMs - intendedMs);
  for (const [value, percent] of [
    [latency.p50Ms, 50],
    [latency.p90Ms, 90],
    [latency.p99Ms, 99],
    [latency.p999Ms, 99.9],
    [latency.maxMs, 100],
  ] as const) {
    assertNear(value, nearestRank(latencies, percent));
  }
  // A generator that waited for answers would have measured 100 ms for each. The last start has 19 requests before it.
  assert.ok((latency.maxMs ?? 0) > 1_500, `${latency.maxMs} ms`);
});

test('a generator that was stopped for a while calls its run invalid, and hides no time', async (t) => {
  const daemon = await startFakeDaemon(t, (answer) => answer(200, []));
  const rawFile = rawFileIn(t);
  const generator = watchGenerators();
  let stopped = 0;
  const onSample = () => {
    if (stopped !== 0) return;
    stopped = generator();
    process.kill(stopped, 'SIGSTOP');
    setTimeout(() => process.kill(stopped, 'SIGCONT'), 1_000);
  };
  const scenario = strict(lists([at(50, 5)]));
  const report = await runLoad(optionsOf(daemon, scenario, { rawFile, observer: { onSample } }));
  assert.notEqual(stopped, 0);
  assert.equal(report.verdict, 'invalid');
  assert.match(report.reasons.join('\n'), /The generator was late/);
  assert.ok(report.generator.lateStarts >= 20, `${report.generator.lateStarts} late starts`);
  const rows = rawRows(readFileSync(rawFile, 'utf8'));
  // Late as they were, all were made, and the time for which they were late counts.
  assert.equal(rows.length, 250);
  const lateMs = Math.max(...rows.map(({ intendedMs, startMs }) => startMs - intendedMs));
  assert.ok(lateMs > 500, `${lateMs} ms late`);
  assert.ok((report.total.latency.maxMs ?? 0) >= lateMs);
});

test('a generator process that dies makes the run invalid', async (t) => {
  const daemon = await startFakeDaemon(t, (answer) => answer(200, []));
  const generator = watchGenerators();
  let killed = 0;
  const onSample = () => {
    if (killed !== 0) return;
    killed = generator();
    process.kill(killed, 'SIGKILL');
  };
  const options = optionsOf(daemon, lists([at(10, 4)]), { observer: { onSample }, processes: 2 });
  const report = await runLoad(options);
  assert.equal(report.verdict, 'invalid');
  assert.match(report.reasons.join('\n'), /Generator process \d ended before its work was done/);
});

test('several processes measure what one would have measured', async (t) => {
  const daemon = await startFakeDaemon(t, (answer) => answer(200, []));
  const rawFile = rawFileIn(t);
  const scenario = lists([at(60, 2), { ...at(0, 1), kind: 'poisson', rate_per_second: 60 }]);
  const runs = [];
  for (const processes of [3, 1]) {
    const report = await runLoad(optionsOf(daemon, scenario, { rawFile, processes, seed: 5 }));
    assert.equal(report.verdict, 'passed', report.reasons.join());
    const rows = rawRows(readFileSync(rawFile, 'utf8'));
    assert.equal(new Set(rows.map((row) => row.process)).size, processes);
    assert.equal(report.total.count, rows.length);
    assert.equal(report.generator.starts, rows.length);
    const latencies = rows.map(({ intendedMs, endMs }) => endMs - intendedMs);
    assertNear(report.total.latency.p50Ms, nearestRank(latencies, 50));
    assertNear(report.total.latency.p99Ms, nearestRank(latencies, 99));
    const inSamples = report.samples.reduce((sum, { done }) => sum + done, 0);
    assert.equal(inSamples, rows.length);
    runs.push(rows.map(({ flow, intendedMs }) => `${flow} ${intendedMs}`).toSorted());
  }
  // The seed alone says what starts when, not the number of processes.
  assert.deepEqual(runs[0], runs[1]);
  assert.ok((runs[0]?.length ?? 0) > 150);
});

test('with too many in flight starts are skipped and counted; refusals are no errors', async (t) => {
  let count = 0;
  const daemon = await startFakeDaemon(t, (answer) => {
    count += 1;
    if (count % 4 === 0) answer(429, { error: 'Too many', code: 'RATE_LIMITED' });
    else if (count % 4 === 1) answer(500, { error: 'Broken', code: 'INTERNAL' });
    else setTimeout(() => answer(200, []), 700);
  });
  const thresholds = ['list.errors < 1%', 'skipped > 0', 'refusals >= 1'];
  const more = { max_in_flight: 2, thresholds };
  const report = await runLoad(optionsOf(daemon, lists([at(20, 2)], more)));
  const { total } = report;
  assert.equal(total.count + total.skipped.total, 40);
  assert.deepEqual(Object.keys(total.skipped.byCode), ['IN_FLIGHT']);
  assert.deepEqual(Object.keys(total.refusals.byCode), ['RATE_LIMITED']);
  assert.deepEqual(Object.keys(total.errors.byCode), ['INTERNAL']);
  assert.equal(total.count, total.succeeded + total.refusals.total + total.errors.total);
  assert.equal(daemon.lists, total.count);
  assert.deepEqual(
    report.thresholds.map(({ held }) => held),
    [false, true, true],
  );
  assert.equal(report.verdict, 'failed');
  assert.match(report.reasons.join(), /list.errors < 1% did not hold/);
});

test('a run whose cap of operations at once skips starts is invalid, unless the scenario allows it', async (t) => {
  const daemon = await startFakeDaemon(t, (answer) => setTimeout(() => answer(200, []), 700));
  const { skipped_share_max: all, ...usual } = PATIENT;
  const more = { max_in_flight: 2, thresholds: ['list.errors < 1%'] };
  const phases = [{ ...at(20, 2), name: 'even' }];
  const runWith = (generator: object) =>
    runLoad(optionsOf(daemon, lists(phases, { ...more, generator })));
  const report = await runWith(usual);
  assert.equal(report.verdict, 'invalid');
  assert.match(
    report.reasons.join(),
    /Of the starts of the phase even .* were skipped \(max_in_flight operations were running\)/,
  );
  const allowed = await runWith({ ...usual, skipped_share_max: all });
  assert.equal(allowed.verdict, 'passed', allowed.reasons.join());
  assert.ok(allowed.total.skipped.total > 0);
});

test('a threshold with abort ends the run at its breach', async (t) => {
  const daemon = await startFakeDaemon(t, (answer) => answer(500, { error: 'no', code: 'NO' }));
  const thresholds = [{ condition: 'errors < 1%', abort: true, after_seconds: 1 }];
  const report = await runLoad(optionsOf(daemon, lists([at(10, 60)], { thresholds })));
  assert.equal(report.verdict, 'aborted');
  assert.ok((report.phases[0]?.durationMs ?? 60_000) < 60_000);
  assert.ok(report.total.count < 600);
});

test('users of the closed model take turns, and the observer hears of each second', async (t) => {
  const daemon = await startFakeDaemon(t, (answer) => setTimeout(() => answer(200, []), 20));
  const seconds: RunProgress[] = [];
  const phase = { kind: 'step', duration_seconds: 4, users: [1, 3], think_seconds: 0.05 };
  const options = optionsOf(daemon, lists([{ ...phase, name: 'people' }]), {
    observer: { onSample: (progress) => seconds.push(progress) },
  });
  const report = await runLoad(options);
  assert.equal(report.verdict, 'passed', report.reasons.join());
  assert.equal(report.phases[0]?.model, 'closed');
  assert.ok(seconds.every(({ sample }) => sample.inFlight <= 3));
  // The level is that at the end of a second.
  assert.deepEqual(
    seconds.slice(0, 4).map(({ sample, phase: now }) => [sample.atMs, now?.name, now?.level]),
    [1, 3, 3, 3].map((level, second) => [second * 1000, 'people', level]),
  );
  const told = seconds.reduce((sum, { sample }) => sum + sample.done, 0);
  assert.equal(told, report.total.count);
  assert.deepEqual(
    report.daemonFigures.filter(({ missing }) => missing === null),
    [],
  );
  assert.match(
    report.daemonFigures.map(({ missing }) => missing).join(),
    /\/metrics is answered with 404|did not answer in time/,
  );
});

test('the search finds the rate that a server can bear', async (t) => {
  // It has 44 answers a second to give, and 40 in hand for a machine that stalls; what asks for more waits.
  const bucket = { tokens: 40, atMs: performance.now() };
  const daemon = await startFakeDaemon(t, (answer) => {
    const nowMs = performance.now();
    bucket.tokens = Math.min(40, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * 44);
    bucket.atMs = nowMs;
    if (bucket.tokens < 1) setTimeout(() => answer(200, []), 2_000);
    else {
      bucket.tokens -= 1;
      answer(200, []);
    }
  });
  const options = optionsOf(daemon, lists([at(1, 1)]), {
    findMax: {
      condition: parseCondition('list.p90 < 1s'),
      fromPerSecond: 30,
      toPerSecond: 1_000,
      precision: 0.5,
      trySeconds: 6,
    },
  });
  const report = await runLoad(options);
  assert.equal(report.verdict, 'passed', report.reasons.join());
  const {
    highestHeldPerSecond: held,
    lowestFailedPerSecond: failed,
    tries = [],
  } = report.knee ?? {};
  assert.equal(held, 42.4);
  assert.equal(failed, 60);
  assert.deepEqual(
    tries.map(({ ratePerSecond }) => ratePerSecond),
    [30, 60, 42.4],
  );
  assert.deepEqual(
    report.phases.map(({ name }) => name),
    tries.map(({ phase }) => phase),
  );
  assert.ok(
    report.phases.every(
      ({ total }, index) => total.count === Math.ceil((tries[index]?.ratePerSecond ?? 0) * 6),
    ),
  );
});

test('figures of the daemon are read from its metrics, and what it lacks is said to be missing', async (t) => {
  const metrics = `volant_queue_waiting{queue="boots"} 3
volant_queue_waiting{queue="operations"} 4
volant_event_loop_delay_seconds{stat="mean"} 1
volant_event_loop_delay_seconds{stat="p99"} 0.25
process_cpu_seconds_total 12.5
`;
  const daemon = await startFakeDaemon(t, (answer) => answer(200, []), metrics);
  const report = await runLoad(optionsOf(daemon, lists([at(5, 2)])));
  const found = report.daemonFigures.filter(({ missing }) => missing === null);
  assert.deepEqual(
    found.map(({ name }) => name),
    ['queue_waiting_count', 'event_loop_delay_seconds', 'process_cpu_seconds'],
  );
  const seen = report.samples.find(({ daemon: figures }) => Object.keys(figures).length > 0);
  assert.deepEqual(seen?.daemon, {
    queue_waiting_count: 7,
    event_loop_delay_seconds: 0.25,
    process_cpu_seconds: 12.5,
  });
  const missing = new Map(report.daemonFigures.map((figure) => [figure.name, figure.missing]));
  assert.equal(missing.get('event_streams_count'), 'The daemon does not have this figure');
  assert.match(missing.get('vms_count') ?? '', /There is no such path/);
});
