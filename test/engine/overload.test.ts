// Far more launches are asked for at once than are carried out at once: each is done, or refused with a time to return,
// and one client does not keep others from their turn.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { LIMITS } from '../../src/config/limits.ts';
import { VolantError } from '../../src/lib/errors.ts';
import { engineOn, newWorld } from './fakes.ts';

const MANY = 5_000;
const CROWD = { by: 'request', client: 'crowd' } as const;
/** Room for their addresses. */
const WIDE = { VOLANT_SUBNET: '10.88.0.0/16', VOLANT_HOST_IP: '10.88.0.1' };

test('5,000 creates at once are done or refused with a time to try again; nothing is left of those', async () => {
  const world = newWorld();
  const { engine } = await engineOn(world, WIDE);
  const order: string[] = [];
  const ask = async (name: string, client: string) => {
    await engine.vms.create({ name, plugin: 'hello' }, undefined, { by: 'request', client });
    order.push(name);
  };
  const crowd = Array.from({ length: MANY }, (_, index) => ask(`crowd-${index}`, 'crowd'));
  const neighbours = Array.from({ length: 5 }, (_, index) => ask(`one-${index}`, `n${index}`));
  const ended = await Promise.allSettled(crowd);
  await Promise.all(neighbours);
  const refused = ended.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
  for (const reason of refused) {
    assert.ok(reason instanceof VolantError && reason.code === 'OVERLOADED', String(reason));
    const { retryAfterSeconds = 0 } = reason;
    assert.ok(retryAfterSeconds >= 1 && retryAfterSeconds <= LIMITS.retryAfterSecondsMax);
  }
  const done = MANY - refused.length;
  // Half of the line is one client's, and some run.
  assert.ok(done >= LIMITS.operationsWaitingMax / 2, `${done} of ${MANY} were done`);
  assert.ok(done <= LIMITS.operationsWaitingMax / 2 + LIMITS.operationsRunningMax * 2);
  const { total } = await engine.vms.list({
    statuses: ['running'],
    sort: 'name',
    descending: false,
    limit: 0,
    offset: 0,
  });
  assert.equal(total, done + neighbours.length);
  assert.deepEqual(
    [world.host.processes.size, world.store.vms.size, world.store.addresses.size],
    [total, total, total],
  );
  for (const [index, name] of neighbours.entries()) {
    await name;
    const place = order.indexOf(`one-${index}`);
    assert.ok(place < LIMITS.operationsRunningMax * 4, `one-${index} came as number ${place}`);
  }
});

test("a deployment's replicas come in turn with what a client has in the queue", async () => {
  const world = newWorld();
  // A launch takes a while, so that others get their turn.
  const launch = world.host.launch.bind(world.host);
  world.host.launch = async (request) => {
    await turn();
    return launch(request);
  };
  const { engine } = await engineOn(world, WIDE);
  const order: string[] = [];
  engine.events.subscribe((events) => {
    for (const { body } of events) if (body.type === 'VM_RUNNING') order.push(body.name);
  });
  const crowd = Array.from({ length: 1_000 }, (_, index) =>
    engine.vms.create({ name: `crowd-${index}`, plugin: 'hello' }, undefined, CROWD),
  );
  const made = engine.deployments.create({ name: 'web', replicas: 3, config: { plugin: 'hello' } });
  await Promise.all([made, ...crowd]);
  const places = [0, 1, 2].map((index) => order.indexOf(`web-${index}`));
  assert.ok(Math.max(...places) < 500, `replicas came as ${places}`);
});
