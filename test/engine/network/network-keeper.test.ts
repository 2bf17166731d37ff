// When the network is checked, and what is repaired and reported then.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../../src/config/limits.ts';
import { NetworkKeeper } from '../../../src/engine/network/network-keeper.ts';
import type { NetworkRepair, SeenNetwork } from '../../../src/engine/ports/network-ports.ts';
import { silentLog } from '../fakes.ts';
import { SEEN, tap, WANTED } from './network-fixture.ts';

/** A keeper of a host on which `seen` can be changed; what is mended is as it should be. */
function createKept() {
  const world = {
    seen: SEEN as SeenNetwork | null,
    wanted: WANTED,
    isMendable: true,
    looks: 0,
    looksAtOnce: 0,
    repairs: [] as NetworkRepair[],
    reported: [] as string[],
    alive: true,
    lose: (_: string | null): void => undefined,
    duringLook: async (): Promise<void> => undefined,
  };
  let looking = 0;
  const keeper = new NetworkKeeper({
    host: {
      readNetwork: async () => {
        world.looks += 1;
        looking += 1;
        world.looksAtOnce = Math.max(world.looksAtOnce, looking);
        await world.duringLook();
        looking -= 1;
        return world.seen;
      },
      repairNetwork: async (_, repair) => {
        world.repairs.push(repair);
        if (!world.isMendable) throw new Error('it cannot be mended');
        world.seen = SEEN;
      },
      watchNetwork: (_, onLost) => {
        world.lose = onLost;
      },
    },
    wanted: () => world.wanted,
    isAlive: () => world.alive,
    retryPorts: async () => undefined,
    ledger: { changes: () => ({}), remember: async () => undefined },
    reporter: {
      report: async (repaired, left) => {
        world.reported.push(...repaired.map(({ kind }) => `mended ${kind}`));
        world.reported.push(...left.map(({ kind }) => `left ${kind}`));
      },
    },
    log: silentLog,
  });
  return { world, keeper };
}

async function until(holds: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!holds()) {
    if (performance.now() > deadlineMs) throw new Error('it never came');
    await pause(5);
  }
}

suite('the keeper of the network', () => {
  test('repairs what it finds at the start, and what the kernel reports', async (t) => {
    const { world, keeper } = createKept();
    t.after(() => keeper.close());
    world.seen = { ...SEEN, nat: 'missing' };
    keeper.start();
    await until(() => world.reported.length === 1);
    assert.deepEqual(world.reported, ['mended nat-missing']);
    world.seen = { ...SEEN, bridge: null };
    for (let reporter = 0; reporter < 50; reporter += 1) world.lose(null);
    await until(() => world.reported.length === 2);
    assert.deepEqual(world.reported[1], 'mended bridge-missing');
    assert.equal(world.looks, 4, 'fifty reports are one check, and one after it');
  });

  test('does not look for taps of VMs that end', async (t) => {
    const { world, keeper } = createKept();
    t.after(() => keeper.close());
    keeper.start();
    await until(() => world.looks === 1);
    world.alive = false;
    world.lose('vtfade-1');
    await pause(LIMITS.networkCheckDelayMs * 2);
    assert.equal(world.looks, 1);
  });

  test('lets requests be answered between the parts of its comparison', async () => {
    const { keeper } = createKept();
    let turns = 0;
    let isOver = false;
    const count = () => {
      turns += 1;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    const differences = await keeper.check();
    isOver = true;
    assert.deepEqual(differences, []);
    assert.ok(turns > 4, `the event loop turned ${turns} times`);
  });

  test('does not count what changed while it looked', async () => {
    const { world, keeper } = createKept();
    world.seen = { ...SEEN, taps: [tap(1), tap(2)] };
    world.duringLook = async () => {
      world.wanted = { ...WANTED, guests: WANTED.guests.slice(0, 2) };
    };
    assert.deepEqual(await keeper.check(), []);
  });

  test('looks again soon after what it could not repair, one look at a time', async (t) => {
    const { world, keeper } = createKept();
    t.after(() => keeper.close());
    world.isMendable = false;
    world.seen = { ...SEEN, nat: 'changed' };
    world.duringLook = () => pause(20);
    keeper.start();
    await until(() => world.looks === 1);
    world.lose(null);
    await until(() => world.repairs.length === 2);
    world.isMendable = true;
    await until(() => world.reported.includes('mended nat-changed'));
    assert.ok(world.reported.includes('left nat-changed'));
    assert.equal(world.looksAtOnce, 1);
  });

  test('does not fight forever with somebody who changes the same repeatedly', async (t) => {
    const { world, keeper } = createKept();
    t.after(() => keeper.close());
    keeper.start();
    await until(() => world.looks === 1);
    for (let round = 1; round <= LIMITS.networkRepairsPerMinuteMax; round += 1) {
      world.seen = { ...SEEN, nat: 'missing' };
      world.lose(null);
      await until(() => world.reported.length === round);
    }
    world.lose(null);
    const { looks } = world;
    await pause(LIMITS.networkCheckDelayMs * 2);
    assert.equal(world.looks, looks);
  });

  test('ends with the look that is under way', async () => {
    const { world, keeper } = createKept();
    let end = (): void => undefined;
    world.duringLook = () =>
      new Promise((resolve) => {
        end = resolve;
      });
    keeper.start();
    await until(() => world.looks === 1);
    let isClosed = false;
    const closed = keeper.close().then(() => {
      isClosed = true;
    });
    await pause(20);
    assert.equal(isClosed, false);
    end();
    await closed;
    await pause(LIMITS.networkCheckDelayMs * 2);
    assert.equal(world.looks, 1);
  });
});
