// When the network is looked at, and what is mended and told then.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../src/config.ts';
import { NetworkKeeper } from '../../src/engine/network/network-keeper.ts';
import type { NetworkMending, SeenNetwork } from '../../src/engine/network-ports.ts';
import { silentLog } from './fakes.ts';
import { SEEN, tap, WANTED } from './network-fixture.ts';

/** A keeper of a host on which `seen` can be changed; what is mended is as it should be. */
function createKept() {
  const world = {
    seen: SEEN as SeenNetwork | null,
    wanted: WANTED,
    isMendable: true,
    looks: 0,
    looksAtOnce: 0,
    mendings: [] as NetworkMending[],
    told: [] as string[],
    alive: true,
    lose: (_: string | null): void => undefined,
    duringLook: async (): Promise<void> => undefined,
  };
  let looking = 0;
  const keeper = new NetworkKeeper({
    host: {
      lookAtNetwork: async () => {
        world.looks += 1;
        looking += 1;
        world.looksAtOnce = Math.max(world.looksAtOnce, looking);
        await world.duringLook();
        looking -= 1;
        return world.seen;
      },
      mendNetwork: async (_, mending) => {
        world.mendings.push(mending);
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
    news: {
      tell: (mended, left) => {
        world.told.push(...mended.map(({ kind }) => `mended ${kind}`));
        world.told.push(...left.map(({ kind }) => `left ${kind}`));
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
  test('mends what it finds at the start, and what the kernel tells of', async (t) => {
    const { world, keeper } = createKept();
    t.after(() => keeper.close());
    world.seen = { ...SEEN, nat: 'missing' };
    keeper.start();
    await until(() => world.told.length === 1);
    assert.deepEqual(world.told, ['mended nat-missing']);
    world.seen = { ...SEEN, bridge: null };
    for (let news = 0; news < 50; news += 1) world.lose(null);
    await until(() => world.told.length === 2);
    assert.deepEqual(world.told[1], 'mended bridge-missing');
    assert.equal(world.looks, 4, 'fifty pieces of news are one look, and one after it');
  });

  test('does not look for taps of VMs that end', async (t) => {
    const { world, keeper } = createKept();
    t.after(() => keeper.close());
    keeper.start();
    await until(() => world.looks === 1);
    world.alive = false;
    world.lose('vtfade-1');
    await pause(LIMITS.networkLookDelayMs * 2);
    assert.equal(world.looks, 1);
  });

  test('does not count what changed while it looked', async () => {
    const { world, keeper } = createKept();
    world.seen = { ...SEEN, taps: [tap(1), tap(2)] };
    world.duringLook = async () => {
      world.wanted = { ...WANTED, guests: WANTED.guests.slice(0, 2) };
    };
    assert.deepEqual(await keeper.look(), []);
  });

  test('looks again soon after what it could not mend, one look at a time', async (t) => {
    const { world, keeper } = createKept();
    t.after(() => keeper.close());
    world.isMendable = false;
    world.seen = { ...SEEN, nat: 'changed' };
    world.duringLook = () => pause(20);
    keeper.start();
    await until(() => world.looks === 1);
    world.lose(null);
    await until(() => world.mendings.length === 2);
    world.isMendable = true;
    await until(() => world.told.includes('mended nat-changed'));
    assert.ok(world.told.includes('left nat-changed'));
    assert.equal(world.looksAtOnce, 1);
  });

  test('does not fight for ever with somebody who changes the same again and again', async (t) => {
    const { world, keeper } = createKept();
    t.after(() => keeper.close());
    keeper.start();
    await until(() => world.looks === 1);
    for (let round = 1; round <= LIMITS.networkMendsPerMinuteMax; round += 1) {
      world.seen = { ...SEEN, nat: 'missing' };
      world.lose(null);
      await until(() => world.told.length === round);
    }
    world.lose(null);
    const { looks } = world;
    await pause(LIMITS.networkLookDelayMs * 2);
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
    await pause(LIMITS.networkLookDelayMs * 2);
    assert.equal(world.looks, 1);
  });
});
