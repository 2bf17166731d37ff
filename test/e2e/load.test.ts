// e2e: volant-load against a daemon with simulated VMs: every kind of phase and step, thresholds and exit statuses, and that
// nothing is left of a run, however it ends.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { RunReport } from '../../src/load/report/run-report.ts';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { assertNear, nearestRank } from '../load/arithmetic.ts';
import { PATIENT, rawRows } from '../load/fake-daemon.ts';
import { type Daemon, startDaemon } from './daemon.ts';

const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };
const MAIN = join(PROJECT_ROOT, 'dist/load/main.js');
const END_TIMEOUT_MS = 120_000;

const VM = { plugin: 'hello' };
const LIFE = {
  name: 'life',
  steps: [
    { do: 'create', until: 'accepted' },
    { do: 'watch', event: 'VM_RUNNING' },
    { do: 'wait', until: 'running' },
    { do: 'pause', duration_seconds: 0.01 },
    { do: 'get' },
    { do: 'stop', grace_seconds: 0 },
    { do: 'start' },
    { do: 'restart', grace_seconds: 0 },
    { do: 'delete', grace_seconds: 0 },
  ],
};
const FLEET = {
  name: 'fleet',
  steps: [
    { do: 'create_deployment', replicas: 1, until: 'running' },
    { do: 'scale', replicas: [0, 2], until: 'running' },
    { do: 'get_deployment' },
    { do: 'list_deployments' },
    { do: 'delete_deployment' },
  ],
};

interface Loaded {
  readonly directory: string;
  readonly child: ChildProcess;
  readonly output: () => string;
  /** Exit status, or the name of the signal. */
  readonly ended: Promise<number | string>;
}

/** Starts volant-load; it is killed at the end of the test if it still runs. */
function load(t: TestContext, daemon: Daemon, words: readonly string[], scenario?: object): Loaded {
  const directory = mkdtempSync(join(tmpdir(), 'volant-load-'));
  const file = join(directory, 'scenario.json');
  if (scenario !== undefined) writeFileSync(file, JSON.stringify(scenario));
  const [command = '', ...others] = words;
  const files = scenario === undefined ? [] : [file];
  const child = spawn(process.execPath, [MAIN, command, ...files, ...others], {
    env: { ...process.env, VOLANT_API_BASE: daemon.url },
    cwd: directory,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => (output += chunk));
  const timer = setTimeout(() => child.kill('SIGKILL'), END_TIMEOUT_MS);
  t.after(() => {
    clearTimeout(timer);
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });
  const ended = once(child, 'close').then(([status, signal]) => signal ?? status);
  return { directory, child, output: () => output, ended };
}

async function namesOf(daemon: Daemon): Promise<string[]> {
  const vms = (await daemon.call('GET', '/api/v1/vms')).body as { name: string }[];
  const deployments = (await daemon.call('GET', '/api/v1/deployments')).body as { name: string }[];
  return [...vms, ...deployments].map(({ name }) => name);
}

/** Until a run has made this many VMs. */
async function untilMade(daemon: Daemon, label: string, count: number, run: Loaded): Promise<void> {
  for (;;) {
    const made = (await namesOf(daemon)).filter((name) => name.startsWith(`load-${label}-`));
    if (made.length >= count) return;
    if (run.child.exitCode !== null) throw new Error(`The run ended: ${run.output()}`);
    await pause(50);
  }
}

const KEEPING = {
  name: 'keeping',
  vm: VM,
  generator: PATIENT,
  phases: [{ kind: 'constant', duration_seconds: 100, rate_per_second: 5 }],
  operations: [{ do: 'create' }, { do: 'create_deployment', until: 'accepted', weight: 0.2 }],
  deployment: { config: VM },
};

test('every kind of phase and step runs, is measured, and leaves nothing', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  await daemon.createVm('load-nobody-s1');
  const rate = 4;
  const phases = [
    { kind: 'constant', duration_seconds: 2, rate_per_second: rate, name: 'even' },
    { kind: 'ramp', duration_seconds: 2, rate_per_second: { from: 1, to: rate } },
    { kind: 'step', duration_seconds: 2, rate_per_second: [1, rate] },
    {
      ...{ kind: 'spike', duration_seconds: 2 },
      rate_per_second: { base: 1, peak: 10, peak_after_seconds: 1, peak_seconds: 0.5 },
    },
    { kind: 'poisson', duration_seconds: 2, rate_per_second: rate },
    { kind: 'soak', duration_seconds: 3, rate_per_second: 10 },
    { kind: 'constant', duration_seconds: 2, users: 2, think_seconds: 0.05, name: 'people' },
  ];
  const scenario = {
    name: 'everything',
    vm: VM,
    deployment: { config: VM },
    setup: { vms: 2, deployments: 2 },
    generator: PATIENT,
    phases,
    operations: [
      LIFE,
      FLEET,
      { do: 'list', weight: 3 },
      { do: 'watch', duration_seconds: 0.1, name: 'listen' },
      { do: 'get', name: 'look' },
      { name: 'cycle', steps: [{ do: 'stop', grace_seconds: 0 }, { do: 'start' }] },
    ],
    thresholds: ['errors < 1%', 'create.p99 < 100s', 'even:total.count > 5'],
  };
  const run = load(
    t,
    daemon,
    [
      'run',
      '--label',
      'all',
      '--seed',
      '3',
      '--processes',
      '2',
      '--raw',
      'raw.csv',
      '--report-json',
      'r.json',
    ],
    scenario,
  );
  assert.equal(await run.ended, 0, run.output());
  const report = JSON.parse(readFileSync(join(run.directory, 'r.json'), 'utf8')) as RunReport;
  assert.deepEqual([report.verdict, report.reasons], ['passed', []]);
  assert.deepEqual(
    report.phases.map(({ kind, model }) => [kind, model]),
    phases.map((phase) => [phase.kind, 'users' in phase ? 'closed' : 'open']),
  );
  for (const phase of report.phases) assert.ok(phase.total.succeeded > 0, phase.name);
  assert.ok((report.phases[5]?.drift?.first.count ?? 0) > 0);
  const words = [...LIFE.steps, ...FLEET.steps]
    .map((step) => step.do)
    .filter((word) => word !== 'pause');
  const steps = report.operations.filter(({ kind }) => kind === 'step');
  const named = [...new Set([...words, 'list', 'listen', 'look'])].toSorted();
  assert.deepEqual(
    steps.map(({ name }) => name),
    named,
  );
  for (const step of steps) assert.equal(step.errors.total, 0, JSON.stringify(step.errors));
  // Percentiles are those of the raw lines.
  const rows = rawRows(readFileSync(join(run.directory, 'raw.csv'), 'utf8'));
  for (const { name, kind, latency } of report.operations) {
    const own = rows.filter((row) => row.operation === name && row.kind === kind);
    const latencies = own.map(({ intendedMs, endMs }) => endMs - intendedMs);
    assert.equal(latency.count, own.length);
    // Raw lines have three digits.
    assertNear(latency.p50Ms, nearestRank(latencies, 50));
    assertNear(latency.p99Ms, nearestRank(latencies, 99));
  }
  const found = report.daemonFigures.filter(({ missing }) => missing === null);
  assert.ok(found.some(({ name }) => name === 'vms_count'));
  assert.ok(report.samples.some(({ daemon: figures }) => (figures['vms_count'] ?? 0) > 0));
  assert.equal(report.cleanup?.leftTotal, 0);
  assert.ok((report.cleanup?.removedVms ?? 0) >= 2);
  // What only looks like it is not the run's.
  assert.deepEqual(await namesOf(daemon), ['load-nobody-s1']);
});

test('exit statuses: usage, thresholds, a generator without time, no daemon', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const scenario = {
    name: 'lists',
    generator: PATIENT,
    phases: [{ kind: 'constant', duration_seconds: 1, rate_per_second: 20 }],
    operations: [{ do: 'list' }],
  };
  const statusOf = async (words: string[], more: object = {}) => {
    const run = load(t, daemon, words, { ...scenario, ...more });
    return [await run.ended, run.output()] as const;
  };
  const [passed] = await statusOf(['run']);
  assert.equal(passed, 0);
  const [failed, said] = await statusOf(['run', '--threshold', 'list.max < 0.001ms']);
  assert.equal(failed, 1);
  assert.match(said, /list.max < 0.001ms did not hold/);
  const tiny = { ...PATIENT, late_ms: 0.0001, late_share_max: 0 };
  const [invalid, why] = await statusOf(['run'], { generator: tiny, thresholds: ['errors < 1%'] });
  assert.equal(invalid, 3);
  assert.match(why, /^lists: invalid\n {2}The generator was late/m);
  const refusedVm = { vm: { plugin: 'nobody' }, operations: [{ do: 'create' }] };
  const usages: [string[], object, RegExp][] = [
    [['run', '--threshold', 'list.p98 < 1ms'], {}, /has no measure p98/],
    [['run', '--label', 'No-Good'], {}, /A label has/],
    [['run', '--processes', '0'], {}, /whole number/],
    [['run'], { phases: [] }, /phases: must have at least 1 items/],
    [['run'], refusedVm, /The daemon would not make the vm of the scenario/],
  ];
  for (const [words, more, sentence] of usages) {
    const [status, text] = await statusOf(words, more);
    assert.equal(status, 2, text);
    assert.match(text, sentence);
  }
  const unsaid = load(t, daemon, ['clean']);
  assert.equal(await unsaid.ended, 2);
  assert.match(unsaid.output(), /Give one of --label and --all-runs/);
  const [unreachable, text] = await statusOf(['run', '--api', '127.0.0.1:1']);
  assert.equal(unreachable, 3, text);
  assert.match(text, /cannot be reached/);
});

test('Ctrl-C ends a run, which then removes what it made', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const words = ['run', '--label', 'one', '--report-json', 'r.json', '--processes', '2'];
  const run = load(t, daemon, words, KEEPING);
  await untilMade(daemon, 'one', 5, run);
  const other = load(t, daemon, ['clean', '--label', 'one']);
  assert.equal(await other.ended, 1);
  assert.match(other.output(), /still running/);
  run.child.kill('SIGINT');
  assert.equal(await run.ended, 130, run.output());
  assert.deepEqual(await namesOf(daemon), []);
  const report = JSON.parse(readFileSync(join(run.directory, 'r.json'), 'utf8')) as RunReport;
  assert.equal(report.verdict, 'interrupted');
  assert.equal(report.cleanup?.leftTotal, 0);
});

test('what a run leaves that ends at once is removed by clean, or by the next run', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const first = load(t, daemon, ['run', '--label', 'one'], KEEPING);
  await untilMade(daemon, 'one', 3, first);
  // The second signal may come only when the first one was heard.
  first.child.kill('SIGINT');
  while (!first.output().includes('once more ends at once')) await pause(20);
  first.child.kill('SIGINT');
  assert.equal(await first.ended, 130);
  assert.match(first.output(), /volant-load clean --label one/);
  const second = load(t, daemon, ['run', '--label', 'two', '--no-remove-left-overs'], KEEPING);
  await untilMade(daemon, 'two', 3, second);
  second.child.kill('SIGKILL');
  await second.ended;
  const cleaned = load(t, daemon, ['clean', '--all-runs']);
  assert.equal(await cleaned.ended, 0, cleaned.output());
  assert.deepEqual(await namesOf(daemon), []);
  const third = load(t, daemon, ['run', '--label', 'three'], KEEPING);
  await untilMade(daemon, 'three', 3, third);
  third.child.kill('SIGKILL');
  await third.ended;
  const short = { phases: [{ kind: 'constant', duration_seconds: 1, rate_per_second: 1 }] };
  const next = load(t, daemon, ['run', '--label', 'four'], { ...KEEPING, ...short });
  assert.equal(await next.ended, 0, next.output());
  assert.match(next.output(), /Removing \d+ VMs and \d+ deployments of the run three/);
  assert.deepEqual(await namesOf(daemon), []);
});
