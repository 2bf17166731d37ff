// e2e: a real Prometheus scrapes a daemon while VMs come, go and crash: its counters say what the events say, no counter falls,
// and at rest there are as many series as before. The usual run is short; with VOLANT_TEST_SCRAPED_SECONDS memory is judged, too.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { until } from '../helpers/until.ts';
import { startDaemon } from './daemon.ts';
import { EventFollower } from './event-follower.ts';
import { type Prometheus, startPrometheus } from './prometheus.ts';
import { statusOf } from './soak-samples.ts';
import { comeToRest } from './story.ts';

const SECONDS = Number(process.env['VOLANT_TEST_SCRAPED_SECONDS'] ?? 5);
const JUDGED_SECONDS_MIN = 300;
/**
 * Of the daemon at rest, beyond what it had after the first part of the churn: its own memory. Pages of the mapped store, which
 * Prometheus counts as resident, grow with the events that are kept, and the kernel takes them back when it needs them.
 */
const GROWTH_BYTES_MAX = 48 * 1024 ** 2;
/** Of answers and steps that there were none of in the first part. */
const NEW_SERIES_MAX = 50;
/** Before the first figures are taken: buffers and caches are filled. */
const WARM_SHARE = 0.2;
/** Fewer VMs than run have series of their own, so that there is a sum of the others. */
const OWN_SERIES = '4';
const CLIENTS = 8;
/** One VM in so many is killed, one stopped and started, one restarted. */
const TURNS = 5;
const KEY = 'a-key-of-the-test-that-is-long-enough';

type Ask = (method: string, path: string, body?: object) => Promise<Response>;

/** VMs of one client, each with a name that there was not before: it is made, perhaps stopped, started or killed, and deleted. */
async function churn(client: number, ask: Ask, untilMs: number): Promise<void> {
  for (let number = 1; performance.now() < untilMs; number += 1) {
    const name = `c${client}-${number}-${Math.floor(performance.now())}`;
    const path = `/api/v1/vms/${name}`;
    const created = await ask('POST', '/api/v1/vms', { name, plugin: 'hello' });
    const { pid, error } = (await created.json()) as { pid?: number; error?: string };
    assert.equal(created.status, 201, error);
    const turn = (client + number) % TURNS;
    if (turn === 0) await crash(pid ?? 0, async () => await ask('GET', path));
    if (turn === 1) {
      await done(ask('POST', `${path}/stop`));
      await done(ask('POST', `${path}/start`));
    }
    if (turn === 2) await done(ask('POST', `${path}/restart`));
    await done(ask('DELETE', path));
  }
}

async function crash(pid: number, get: () => Promise<Response>): Promise<void> {
  process.kill(pid, 'SIGKILL');
  for (;;) {
    const { status } = (await (await get()).json()) as { status: string };
    if (status === 'crashed') return;
    await pause(20);
  }
}

async function done(answer: Promise<Response>): Promise<void> {
  const { status } = await answer;
  assert.ok(status < 300, `answered ${status}`);
}

/** After a scrape that began when the daemon was at rest. */
async function figuresAtRest(prometheus: Prometheus, pid: number) {
  const restSeconds = Date.now() / 1000;
  const scrapedAt = async () =>
    Number((await prometheus.first('max(timestamp(volant_healthy))')) ?? 0);
  while ((await scrapedAt()) <= restSeconds) await pause(100);
  const number = async (query: string) => Number((await prometheus.first(query)) ?? 0);
  return {
    series: await number('count({job="volant"})'),
    residentBytes: await number('process_resident_memory_bytes{job="volant"}'),
    anonymousBytes: statusOf(pid, 'RssAnon') * 1024,
    heapBytes: await number('volant_heap_used_bytes'),
    creates: await number('sum(volant_operations_total{kind="create"})'),
    deletes: await number('volant_operations_total{kind="delete",outcome="done"}'),
    exits:
      (await number('volant_step_duration_seconds_count{step="noteEnd"}')) -
      (await number('volant_step_failures_total{step="noteEnd"} or vector(0)')),
  };
}

test('Prometheus counts what the events tell while VMs come and go', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'kernel', 'prometheus')) return;
  const daemon = await startDaemon(t, {
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_API_KEY: KEY,
    VOLANT_METRICS_VMS_MAX: OWN_SERIES,
  });
  const ask: Ask = (method, path, body) =>
    fetch(daemon.url + path, {
      method,
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const rest = () =>
    comeToRest({ ...daemon, call: async (method, path) => answerOf(await ask(method, path)) });
  const events = await EventFollower.of(daemon, { authorization: `Bearer ${KEY}` });
  t.after(() => events.end());
  const prometheus = await startPrometheus(t, daemon, KEY);
  const startMs = performance.now();
  const work = async (seconds: number) => {
    const untilMs = performance.now() + seconds * 1000;
    const clients = Array.from({ length: CLIENTS }, (_, client) => client);
    await Promise.all(clients.map((client) => churn(client, ask, untilMs)));
    await rest();
    return await figuresAtRest(prometheus, daemon.pid());
  };
  const before = await work(SECONDS * WARM_SHARE);
  const after = await work(SECONDS * (1 - WARM_SHARE));
  await untilAllEvents(ask, events);

  assert.deepEqual(
    { creates: after.creates, deletes: after.deletes, exits: after.exits },
    {
      creates: events.countOf('VM_CREATED'),
      deletes: events.countOf('VM_DELETED'),
      exits: events.countOf('VM_CRASHED'),
    },
  );
  assert.ok(after.creates >= 2 * CLIENTS && after.exits >= 2, JSON.stringify(after));
  // A reading is shared for a moment, so that a scrape at rest may still have VMs that went just before.
  await until(
    'series of VMs that are gone are gone',
    async () => Number((await prometheus.first('count({job="volant",vm!=""})')) ?? 0) === 0,
  );
  const range = `[${Math.ceil((performance.now() - startMs) / 1000) + 60}s]`;
  // On a busy host a scrape may take longer than the second that it has.
  t.diagnostic(`share of scrapes: ${await prometheus.first(`avg_over_time(up${range})`)}`);
  assert.deepEqual(await fallenCounters(prometheus, range), []);
  assert.notEqual(
    await prometheus.first(`count_over_time(volant_vm_uptime_seconds${range})`),
    undefined,
    'VMs had series while they ran',
  );
  tell(t, before, after, await prometheus.seriesInMemory());
  if (SECONDS < JUDGED_SECONDS_MIN) return;
  assert.ok(after.series - before.series < NEW_SERIES_MAX, `${after.series - before.series} more`);
  const grown = after.anonymousBytes - before.anonymousBytes;
  assert.ok(grown < GROWTH_BYTES_MAX, `the daemon has ${grown} bytes more than before`);
});

/** A counter that falls looks like one that began again. That of a VM does so with each launch, that of the others never. */
async function fallenCounters(prometheus: Prometheus, range: string): Promise<readonly string[]> {
  const counters = '{job="volant",__name__=~".+_total|.+_count|.+_bucket"}';
  const named = await prometheus.query(`group by (__name__) (last_over_time(${counters}${range}))`);
  const names = named.map(({ metric }) => metric['__name__'] ?? '');
  assert.ok(names.length > 20, names.join());
  const fallen = [];
  for (const name of names) {
    const resets = `resets(${name}{job="volant",vm=~"|_other"}${range}) > 0`;
    if ((await prometheus.query(resets)).length > 0) fallen.push(name);
  }
  return fallen;
}

async function answerOf(response: Response) {
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
}

/** An event that was made now is the last one. */
async function untilAllEvents(ask: Ask, events: EventFollower): Promise<void> {
  const before = events.countOf('PLUGIN_DISABLED');
  await done(ask('POST', '/api/v1/plugins/hello/enabled', { enabled: false }));
  while (events.countOf('PLUGIN_DISABLED') === before) await events.until(events.last + 1);
}

type Figures = Awaited<ReturnType<typeof figuresAtRest>>;

function tell(t: TestContext, before: Figures, after: Figures, headSeries: number): void {
  const mib = (bytes: number) => (bytes / 1024 ** 2).toFixed(1);
  t.diagnostic(`${after.creates} creates, ${after.deletes} deletes, ${after.exits} exits`);
  t.diagnostic(
    `series at rest: ${before.series}, then ${after.series}; in Prometheus ${headSeries}`,
  );
  t.diagnostic(
    `resident memory of the daemon at rest: ${mib(before.residentBytes)} MiB, then ${mib(after.residentBytes)} MiB; its own ${mib(before.anonymousBytes)}, then ${mib(after.anonymousBytes)} MiB; heap ${mib(before.heapBytes)}, then ${mib(after.heapBytes)} MiB`,
  );
}
