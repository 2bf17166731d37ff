// e2e: volant-load beside wrk, which shares no code with it: the same users read one VM of the same daemon. The usual run looks
// only at what was counted; how long it took is compared where VOLANT_TEST_COMPARED_SECONDS leaves an idle machine for it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { runLoad } from '../../src/load/run/run.ts';
import { checkScenario } from '../../src/load/scenario/scenario-file.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { PATIENT } from '../load/fake-daemon.ts';
import { type Daemon, startDaemon } from './daemon.ts';

const SECONDS = process.env['VOLANT_TEST_COMPARED_SECONDS'];
const IS_JUDGED = SECONDS !== undefined;
const ROUNDS = IS_JUDGED ? 5 : 1;
const ROUND_SECONDS = IS_JUDGED ? Math.max(2, Math.floor(Number(SECONDS) / ROUNDS / 2)) : 2;
/** Connections of wrk, users of volant-load. */
const USERS = 8;
/** Between an answer and the next request: neither of the two is ever saturated. */
const THINK_MS = 20;
/**
 * What a client in Node adds: its own work, and to p99 the collection of garbage and the figures of the daemon that are read
 * each second, on processors that it shares with the daemon. And what the noise of the machine adds to a percentile.
 */
const OWN_MS_MAX = { p50Ms: 0.5, p99Ms: 3.5 } as const;
const SHARE_MAX = 0.25;

const run = promisify(execFile);

interface Measured {
  readonly requests: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const SCRIPT = `
function delay() return ${THINK_MS} end
function done(summary, latency)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format('{"requests": %d, "failed": %d, "p50Ms": %.3f, "p99Ms": %.3f}\\n',
    summary.requests, failed, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
`;

async function byWrk(t: TestContext, url: string): Promise<Measured> {
  const directory = mkdtempSync(join(tmpdir(), 'volant-wrk-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'wrk.lua');
  writeFileSync(file, SCRIPT);
  const options = ['-t', '1', '-c', String(USERS), '-d', `${ROUND_SECONDS}s`, '-s', file];
  const { stdout } = await run('wrk', [...options, url]);
  const { failed, ...measured } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  assert.equal(failed, 0, stdout);
  return measured;
}

async function byVolantLoad(url: string): Promise<Measured> {
  const scenario = checkScenario({
    name: 'reads',
    vm: { plugin: 'hello' },
    setup: { vms: 1 },
    phases: [
      {
        kind: 'constant',
        duration_seconds: ROUND_SECONDS,
        users: USERS,
        think_seconds: THINK_MS / 1000,
      },
    ],
    operations: [{ do: 'get' }],
    // The usual run has other tests beside it.
    ...(IS_JUDGED ? {} : { generator: PATIENT }),
  });
  const report = await runLoad({ target: { url, apiKey: null, ca: null }, scenario });
  assert.equal(report.verdict, 'passed', report.reasons.join());
  const { count, succeeded, latency } = report.total;
  assert.equal(succeeded, count);
  return { requests: count, p50Ms: latency.p50Ms ?? 0, p99Ms: latency.p99Ms ?? 0 };
}

/** How often the daemon answered such a request. */
async function readsOf(daemon: Daemon): Promise<number> {
  const { text } = await daemon.call('GET', '/metrics');
  const line = /^volant_http_requests_total\{operation="getVMByName",code="200"\} (\d+)$/m.exec(
    text,
  );
  return Number(line?.[1] ?? 0);
}

test('volant-load measures what wrk measures', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'wrk')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  await daemon.createVm('one');
  const rounds: { wrk: Measured; load: Measured }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = await readsOf(daemon);
    const wrk = await byWrk(t, `${daemon.url}/api/v1/vms/one`);
    const between = await readsOf(daemon);
    const load = await byVolantLoad(daemon.url);
    const after = await readsOf(daemon);
    // Requests that are on their way at the end of wrk are not in its count.
    const missed = between - before - wrk.requests;
    assert.ok(wrk.requests > 0 && missed >= 0 && missed <= USERS, `${missed} reads are missing`);
    assert.equal(after - between, load.requests);
    rounds.push({ wrk, load });
  }
  for (const percentile of ['p50Ms', 'p99Ms'] as const) {
    const wrk = medianOf(rounds.map((round) => round.wrk[percentile]));
    const load = medianOf(rounds.map((round) => round.load[percentile]));
    t.diagnostic(`${percentile}: wrk ${wrk.toFixed(2)}, volant-load ${load.toFixed(2)}`);
    if (!IS_JUDGED) continue;
    const differsMs = Math.abs(load - wrk);
    assert.ok(
      differsMs <= OWN_MS_MAX[percentile] + SHARE_MAX * wrk,
      `${percentile} differs by ${differsMs} ms`,
    );
  }
});

function medianOf(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}
