// e2e: far more concurrent requests than the daemon carries out at once. Each is carried out or refused, one client does
// not block the others, reads are answered, and refused requests leave nothing behind.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BurstAnswer, burst, countAnswers, RawClient } from '../../bench/lib/burst.ts';
import { LIMITS } from '../../src/config/limits.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, startDaemon } from './daemon.ts';

const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };
const MANY = 200;
/** As many clients as addresses: the whole of 127.0.0.0/8 is this host. */
const CROWD = '127.0.0.2';
const NEIGHBOUR = '127.0.0.3';

const portOf = ({ url }: Daemon) => Number(new URL(url).port);

const createOf = (name: string, more: object = {}) => ({
  method: 'POST',
  path: '/api/v1/vms',
  body: { name, plugin: 'hello', ...more },
});

interface EventRow {
  readonly type: string;
  readonly name: string;
}

/** The story of VMs so far: the stream is read until it has told of so many that run. */
async function eventsOf({ url }: Daemon, running: number): Promise<readonly EventRow[]> {
  const abort = new AbortController();
  const { body } = await fetch(`${url}/api/v1/events/vms?after=0`, { signal: abort.signal });
  assert.ok(body !== null);
  let text = '';
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.split('"VM_RUNNING"').length > running && text.endsWith('\n\n')) break;
  }
  abort.abort();
  return [...text.matchAll(/^data: (.+)$/gm)].map(([, json]) => JSON.parse(json ?? ''));
}

const placeOf = (events: readonly EventRow[], wanted: string) =>
  events.findIndex(({ type, name }) => type === wanted && name === 'neighbour');

async function requireClean(daemon: Daemon, vms: number): Promise<void> {
  const { body } = await daemon.call('GET', '/api/v1/system/audit');
  assert.deepEqual([body.clean, body.differences, body.checked.vms], [true, [], vms]);
  assert.equal(daemon.taps().length, vms);
}

test('a crowd of creates does not keep a neighbour waiting, and all of them are done', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const port = portOf(daemon);
  const done: BurstAnswer[] = [];
  const crowd = burst(port, MANY, MANY, (index) => createOf(`crowd-${index}`), CROWD).then(
    (answers) => done.push(...answers),
  );
  const reader = new RawClient(port);
  // From here on the crowd is in line.
  while ((await reader.ask({ method: 'GET', path: '/api/v1/vms/crowd-0' })).status !== 200);
  const neighbour = new RawClient(port, NEIGHBOUR);
  const { status } = await neighbour.ask(createOf('neighbour'));
  assert.equal(status, 201);
  await crowd;
  neighbour.close();
  reader.close();
  assert.deepEqual(countAnswers(done), { 201: MANY });
  const events = await eventsOf(daemon, MANY + 1);
  const between = events
    .slice(placeOf(events, 'VM_CREATED'), placeOf(events, 'VM_RUNNING'))
    .filter(({ type, name }) => type === 'VM_RUNNING' && name !== 'neighbour').length;
  // Those that had begun, and as many again while its own launch runs beside theirs.
  const most = 2 * LIMITS.operationsRunningMax;
  assert.ok(between <= most, `${between} of the crowd came before the neighbour`);
  await requireClean(daemon, MANY + 1);
  const names = [...Array.from({ length: MANY }, (_, index) => `crowd-${index}`), 'neighbour'];
  const gone = await burst(port, names.length, 64, (index) => ({
    method: 'DELETE',
    path: `/api/v1/vms/${names[index]}`,
  }));
  assert.deepEqual(countAnswers(gone), { 204: MANY + 1 });
  await requireClean(daemon, 0);
  assert.deepEqual(daemon.runDirectories(), []);
});

test('what is wrong or comes twice is refused, however much waits, and nothing is left of it', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const port = portOf(daemon);
  const kinds = [
    (index: number) => createOf(`vm-${index}`),
    // Each of these has the name of the one before it.
    (index: number) => createOf(`vm-${index - 1}`),
    (index: number) => createOf(`wrong-${index}`, { plugin: 'nobody' }),
    (index: number) => createOf(`large-${index}`, { config: { resources: { memory_mb: 1 } } }),
  ];
  const answers = await burst(port, 160, 160, (index) => {
    const kind = kinds[index % kinds.length] ?? createOf;
    return kind(index as never);
  });
  assert.deepEqual(countAnswers(answers), {
    201: 40,
    '400 BODY_INVALID': 40,
    '404 PLUGIN_NOT_FOUND': 40,
    '409 VM_NAME_TAKEN': 40,
  });
  await requireClean(daemon, 40);
});

test('a daemon that ends refuses what waits or leaves it to the next one, which finishes it', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const port = portOf(daemon);
  const asking = burst(port, 200, 200, (index) => createOf(`vm-${index}`), CROWD);
  const reader = new RawClient(port);
  while ((await reader.ask({ method: 'GET', path: '/api/v1/vms/vm-0' })).status !== 200);
  reader.close();
  assert.equal(await daemon.terminate(), 0);
  const answers = await asking;
  await daemon.start();
  const { body } = await daemon.call('GET', '/api/v1/vms');
  const names = new Set(body.map(({ name }: { name: string }) => name));
  for (const { index, status } of answers) {
    assert.ok(status !== 201 || names.has(`vm-${index}`), `vm-${index} was answered and is lost`);
  }
  for (const name of names) await daemon.waitFor(String(name), 'running');
  await requireClean(daemon, names.size);
});
