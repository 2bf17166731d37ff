// engine, vms: what runs at once is bounded by what it costs, whose turn it is, is fair between clients, and who is sent away
// from a full queue learns when to try again.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { launchCostOf } from '../../../src/engine/vms/launch/launch-cost.ts';
import { Operations } from '../../../src/engine/vms/operations.ts';
import { VolantError } from '../../../src/lib/errors.ts';

const LIMITS = { runningMax: 1, waitingMax: 40, perVmMax: 8, intakeMax: 1 };

const launchOf = (client: string, cost = 1) => ({ client, cost, isLaunch: true });

/** Work that continues until the test lets it end. */
function held() {
  let letGo: () => void = () => undefined;
  const work = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  return { work, letGo };
}

function secondsTold(operations: Operations, client: string): number {
  try {
    operations.requireQueueSpace(client);
  } catch (error) {
    assert.ok(error instanceof VolantError && error.code === 'OVERLOADED', String(error));
    return error.retryAfterSeconds ?? 0;
  }
  return 0;
}

suite('a line of launches', () => {
  test('a client that is refused learns how long the queue takes at its present pace', async () => {
    let nowMs = 1_000_000;
    const operations = new Operations(LIMITS, { monotonicMs: () => nowMs });
    const first = held();
    const blocked = operations.follow(1, () => first.work);
    // One each half second, one after the other.
    const done = Array.from({ length: 20 }, (_, index) =>
      operations.follow(
        2 + index,
        async () => {
          nowMs += 500;
        },
        () => launchOf('a'),
      ),
    );
    await turn();
    first.letGo();
    await Promise.all([blocked, ...done]);
    const second = held();
    const line = Array.from({ length: 21 }, (_, index) =>
      operations.follow(
        100 + index,
        () => second.work,
        () => launchOf('a'),
      ),
    );
    await turn();
    const told = secondsTold(operations, 'a');
    assert.ok(told >= 9 && told <= 11, `${told} s for 20 at two in a second`);
    second.letGo();
    await Promise.all(line);
    assert.equal(secondsTold(operations, 'a'), 0);
  });

  test('one client alone has half of the places, and a new one always finds some', async () => {
    const operations = new Operations(LIMITS);
    const { work, letGo } = held();
    const ends: Promise<void>[] = [];
    let vmId = 0;
    const counts = new Map<string, number>();
    for (const client of ['a', 'b', 'c', 'd']) {
      let taken = 0;
      while (secondsTold(operations, client) === 0) {
        vmId += 1;
        ends.push(
          operations.follow(
            vmId,
            () => work,
            () => launchOf(client),
          ),
        );
        await turn();
        taken += 1;
        assert.ok(taken <= LIMITS.waitingMax, 'there is no bound');
      }
      counts.set(client, taken);
    }
    // The very first one runs and waits for nobody.
    assert.deepEqual(
      [...counts],
      [
        ['a', 21],
        ['b', 10],
        ['c', 5],
        ['d', 3],
      ],
    );
    letGo();
    await Promise.all(ends);
  });

  test('a client with many in the queue and one with a single launch are served in turn', async () => {
    const operations = new Operations(LIMITS);
    const order: string[] = [];
    const add = (vmId: number, client: string) =>
      operations.follow(
        vmId,
        async () => void order.push(client),
        () => launchOf(client),
      );
    const { work, letGo } = held();
    const running = operations.follow(1, () => work);
    await turn();
    const many = Array.from({ length: 10 }, (_, index) => add(10 + index, 'many'));
    await turn();
    const one = add(2, 'one');
    await turn();
    letGo();
    await Promise.all([running, ...many, one]);
    assert.ok(order.indexOf('one') <= 1, order.join(' '));
    assert.equal(order.length, 11);
  });

  test('clients are compared by what they cost, and what makes room goes before what takes it', async () => {
    const operations = new Operations({ ...LIMITS, runningMax: 4 });
    const order: string[] = [];
    const add = (vmId: number, client: string, cost: number, isLaunch = true) =>
      operations.follow(
        vmId,
        async () => {
          order.push(isLaunch ? client : `end of ${client}`);
          await turn();
        },
        () => ({ client, cost, isLaunch }),
      );
    const { work, letGo } = held();
    const running = operations.follow(
      1,
      () => work,
      () => launchOf('x', 4),
    );
    await turn();
    const waiting = [
      ...[1, 2, 3].map((index) => add(10 + index, 'dear', 4)),
      ...[1, 2, 3, 4, 5, 6, 7, 8].map((index) => add(20 + index, 'cheap', 1)),
      add(30, 'dear', 1, false),
    ];
    await turn();
    letGo();
    await Promise.all([running, ...waiting]);
    assert.equal(order[0], 'end of dear');
    const cheapBefore = (count: number) => {
      const dear = order.flatMap((who, index) => (who === 'dear' ? [index] : []));
      return order.slice(0, dear[count]).filter((who) => who === 'cheap').length;
    };
    // Four cheap ones for each dear one.
    assert.ok(cheapBefore(1) >= 4 && cheapBefore(1) <= 6, order.join(' '));
    assert.ok(cheapBefore(2) >= 7, order.join(' '));
  });

  test('what costs more than there is runs alone', async () => {
    const operations = new Operations({ ...LIMITS, runningMax: 4 });
    let running = 0;
    const work = async () => {
      running += 1;
      assert.equal(running, 1);
      await turn();
      running -= 1;
    };
    const share = () => launchOf('a', 100);
    await Promise.all([operations.follow(1, work, share), operations.follow(2, work, share)]);
  });

  test('launches that wait for something else still count for their client', async () => {
    const operations = new Operations({ ...LIMITS, waitingMax: 4 });
    const { work, letGo } = held();
    const ends = [1, 2].map((vmId) =>
      operations.follow(
        vmId,
        (one) => one.wait(() => work),
        () => launchOf('a'),
      ),
    );
    await turn();
    assert.ok(secondsTold(operations, 'a') > 0);
    assert.equal(secondsTold(operations, 'b'), 0);
    letGo();
    await Promise.all(ends);
    assert.equal(secondsTold(operations, 'a'), 0);
  });

  test('requests are looked into a few at a time, clients in turn, and what one throws is its own', async () => {
    const operations = new Operations({ ...LIMITS, intakeMax: 2 });
    const order: string[] = [];
    let underWay = 0;
    const ask = (client: string) =>
      operations.runIntake(client, async () => {
        underWay += 1;
        assert.ok(underWay <= 2);
        order.push(client);
        await turn();
        underWay -= 1;
        if (client === 'wrong') throw new VolantError('BODY_INVALID');
      });
    const asked = [ask('many'), ask('many'), ask('many'), ask('many'), ask('wrong'), ask('one')];
    const ended = await Promise.allSettled(asked);
    assert.equal(ended.filter(({ status }) => status === 'rejected').length, 1);
    assert.ok(order.indexOf('one') < 5, order.join(' '));
    await operations.close();
    await assert.rejects(ask('late'), { code: 'SHUTTING_DOWN' });
  });
});

test('a launch costs what it takes of the host', () => {
  const resolved = (devices: number, readonly: readonly boolean[]) => ({
    resolved: {
      spec: { pciDevices: Array.from({ length: devices }, String) },
      media: { disks: readonly.map((one) => ({ readonly: one })) },
    },
  });
  const cost = (driver: string, draft: unknown = null) =>
    launchCostOf({ driver } as Parameters<typeof launchCostOf>[0], draft as never);
  const simulated = cost('simulator', resolved(0, []));
  const plain = cost('qemu', resolved(0, [true]));
  const withDisks = cost('qemu', resolved(0, [false, false]));
  const withDevices = cost('qemu', resolved(1, []));
  assert.ok(simulated < plain && plain < withDisks && withDisks < withDevices);
  assert.equal(cost('qemu'), plain);
});

test('an error that says nothing about it has what the table says', () => {
  assert.equal(new VolantError('STORE_UNAVAILABLE').retryAfterSeconds, 5);
  assert.equal(new VolantError('OVERLOADED').retryAfterSeconds, 1);
  assert.equal(new VolantError('OVERLOADED', 'x', { retryAfterSeconds: 9 }).retryAfterSeconds, 9);
  assert.equal(new VolantError('VM_NOT_FOUND').retryAfterSeconds, undefined);
});
