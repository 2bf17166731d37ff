// e2e: requests that a fuzzer makes of the OpenAPI document, right, wrong and hostile ones, while VMs come and go: every answer
// is one that the document describes, what was wrong is named, what was done is there, and nothing is left at the end.
//
// VOLANT_TEST_SEED and VOLANT_TEST_FUZZ_REQUESTS make another run; VOLANT_TEST_FUZZ_ONLY sends one request of it.

import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Session } from '../fuzz/api/session.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { DocumentChecker } from '../helpers/document.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { FakeSysfs } from './fake-sysfs.ts';
import { Churn } from './soak-churn.ts';
import { comeToRest, randomOf } from './story.ts';

const SEED = Number(process.env['VOLANT_TEST_SEED'] ?? Date.now() % 1_000_000);
const COUNT = Number(process.env['VOLANT_TEST_FUZZ_REQUESTS'] ?? 2_000);
const ONLY = process.env['VOLANT_TEST_FUZZ_ONLY'];
const CLIENTS = 4;
const CHURNING = 2;
const ROUND_MS = 2_000;
/** Connections that are kept, and a worker thread or two more or less. One for each request would be thousands. */
const DESCRIPTORS_SPARE = 32;

test(`${COUNT} fuzzed requests are answered as the document says (seed ${SEED})`, async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const sysfs = new FakeSysfs(t, ['host']);
  sysfs.addDevice('0000:01:00.0', '7', 'host');
  const daemon = await startDaemon(t, {
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_SYSFS_ROOT: sysfs.root,
  });
  const pid = daemon.pid();
  const session = await prepare(daemon);
  await comeToRest(daemon);
  const before = descriptorsOf(daemon);
  await besideChurn(daemon, () => session.run(ONLY === undefined ? undefined : Number(ONLY)));
  tell(t, session);
  assert.equal(daemon.pid(), pid);
  assert.deepEqual(
    session.findings.map(({ index, problem }) => `request ${index}: ${problem}`),
    [],
    `seed ${SEED}`,
  );
  assert.deepEqual(errorsIn(daemon.log()), [], 'errors in the log');
  await clear(daemon);
  await comeToRest(daemon);
  const after = descriptorsOf(daemon);
  assert.ok(after <= before + DESCRIPTORS_SPARE, `${before} descriptors, and then ${after}`);
});

async function prepare(daemon: Daemon): Promise<Session> {
  const document = (await daemon.call('GET', '/openapi')).body;
  const manifest = (await daemon.call('GET', '/api/v1/plugins/hello')).body;
  const image = join(daemon.home, 'images/fuzz.raw');
  writeFileSync(image, Buffer.alloc(1024 ** 2));
  return new Session({
    port: Number(new URL(daemon.url).port),
    document,
    checker: new DocumentChecker(document),
    manifest,
    image,
    seed: SEED,
    count: COUNT,
    clients: CLIENTS,
  });
}

/** Does it while other VMs, hypervisors and streams come and go. */
async function besideChurn(daemon: Daemon, act: () => Promise<void>): Promise<void> {
  const churn = new Churn(daemon, randomOf(SEED));
  await churn.prepare();
  let isOver = ONLY !== undefined;
  const rounds = async () => {
    while (!isOver) await churn.round(CHURNING, performance.now() + ROUND_MS);
  };
  const churning = rounds();
  try {
    await act();
  } finally {
    isOver = true;
    await churning;
  }
  await churn.clear();
  assert.deepEqual(churn.faults, [], `seed ${SEED}`);
}

function tell(t: TestContext, session: Session): void {
  const sum = (matches: RegExp) =>
    [...session.counts].reduce((all, [kind, count]) => all + (matches.test(kind) ? count : 0), 0);
  const done = `${sum(/ 2\d\d$/)} answered 2xx, ${sum(/ 4\d\d$/)} 4xx, ${sum(/ 5\d\d$/)} 5xx`;
  t.diagnostic(`seed ${SEED}: ${sum(/./)} requests, ${done}`);
  if (process.env['VOLANT_TEST_FUZZ_TELL'] === '1') {
    for (const [kind, count] of [...session.counts].sort()) t.diagnostic(`${kind}: ${count}`);
  }
  for (const [kind, count] of session.kinds) t.diagnostic(`found ${count} times: ${kind}`);
  for (const { index, problem, sent } of session.findings) {
    t.diagnostic(`request ${index} of seed ${SEED}: ${problem}\n${sent}`);
  }
}

/** Lines that say that the daemon is at fault. */
function errorsIn(log: string): readonly string[] {
  return log.split('\n').filter((line) => line.startsWith('{"level":"error"'));
}

/** Deletes all that the clients have made. */
async function clear(daemon: Daemon): Promise<void> {
  for (const { name } of (await daemon.call('GET', '/api/v1/deployments')).body) {
    await daemon.call('DELETE', `/api/v1/deployments/${name}`);
  }
  for (const { name } of (await daemon.call('GET', '/api/v1/vms')).body) {
    await daemon.call('DELETE', `/api/v1/vms/${name}?grace_seconds=0`);
  }
}

function descriptorsOf(daemon: Daemon): number {
  return readdirSync(`/proc/${daemon.pid()}/fd`).length;
}
