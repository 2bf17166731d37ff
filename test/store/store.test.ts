// What the engine relies on in the store: durable when resolved, one transaction, dense numbers.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { suite, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LIMITS } from '../../src/config/limits.ts';
import type { Write } from '../../src/engine/ports/store-ports.ts';
import type {
  ArtifactRecord,
  EventBody,
  OperationRecord,
  ResultRecord,
  RevisionRecord,
} from '../../src/engine/records.ts';
import { type Env, openEnv } from '../../src/store/env.ts';
import { openStore, Store } from '../../src/store/store.ts';
import { openTables, STORE_VERSION } from '../../src/store/tables.ts';
import { silentLog } from '../engine/fakes.ts';

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-store-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function opened(t: TestContext, directory: string, eventsMax?: number): Store {
  const store = openStore(directory, silentLog, eventsMax);
  t.after(() => store.close());
  return store;
}

const event = (name: string): EventBody => ({
  type: 'VM_CREATED',
  name,
  status: 'starting',
  timestamp: '2026-01-01T00:00:00.000Z',
});

/** An environment that tells how many transactions it has made. */
function counted(env: Env): { readonly env: Env; readonly transactions: () => number } {
  let transactions = 0;
  const write = (action: () => void) => {
    transactions += 1;
    return env.write(action);
  };
  return { env: { ...env, write }, transactions: () => transactions };
}

/** An environment whose disk fails at the end of a transaction when it is told to. */
function failing(env: Env): { readonly env: Env; isBroken: boolean } {
  const disk = {
    isBroken: false,
    env: {
      ...env,
      write: (action: () => void) =>
        env.write(() => {
          action();
          if (disk.isBroken) throw new Error('EIO');
        }),
    },
  };
  return disk;
}

suite('store', () => {
  test('gives back after a reopen what was committed', async (t) => {
    const directory = temporary(t);
    const store = openStore(directory, silentLog);
    const lease = { vmId: 7, releasedAtMs: null };
    await store.commit(
      [
        { table: 'addresses', key: '10.0.0.10', value: lease },
        { table: 'meta', key: 'lastVmId', value: 7 },
        { table: 'meta', key: 'hostChanges', value: { ipForwardBefore: '0' } },
      ],
      [event('a'), event('b')],
    );
    await store.close();
    const again = opened(t, directory);
    const snapshot = again.load();
    assert.deepEqual([...again.addressLeases()], [['10.0.0.10', lease]]);
    assert.deepEqual([snapshot.lastVmId, snapshot.lastSequence], [7, 2]);
    assert.deepEqual(snapshot.hostChanges, { ipForwardBefore: '0' });
    assert.deepEqual(again.eventsAfter(1, 10), [{ sequence: 2, body: event('b') }]);
  });

  test('keeps no operation of a VM that is removed, not even of the same transaction', async (t) => {
    const store = opened(t, temporary(t));
    const operation = (vmId: number, number: number): Write => ({
      table: 'operations',
      key: [vmId, number],
      value: { vmId, number } as OperationRecord,
    });
    await store.commit([operation(1, 1), operation(2, 1)], []);
    // They wait together, and become one transaction.
    await Promise.all([
      store.commit([operation(1, 2)], []),
      store.commit([{ table: 'vms', key: 1, value: null }], []),
    ]);
    assert.deepEqual(store.operations(1, 10), []);
    assert.equal(store.operations(2, 10).length, 1);
  });

  test('gives the revisions of one deployment, newest first, and no others', async (t) => {
    const directory = temporary(t);
    const store = openStore(directory, silentLog);
    const keys = [
      ['web', 9],
      ['web', 10],
      ['web-2', 3],
      ['we', 4],
    ] as const;
    const value = (deployment: string, revision: number) =>
      ({ deployment, revision }) as RevisionRecord;
    const writes = keys.map(
      (key): Write => ({ table: 'revisions', key, value: value(key[0], key[1]) }),
    );
    await store.commit(writes, []);
    await store.commit([{ table: 'revisions', key: ['we', 4], value: null }], []);
    await store.close();
    const again = opened(t, directory);
    assert.deepEqual(again.revisions('web'), [value('web', 10), value('web', 9)]);
    assert.deepEqual([again.revisions('we'), again.revisions('none')], [[], []]);
  });

  test('numbers events in the order of the calls, without gaps', async (t) => {
    const store = opened(t, temporary(t));
    const names = Array.from({ length: 300 }, (_, index) => `vm-${index}`);
    const stored = await Promise.all(names.map((name) => store.commit([], [event(name)])));
    assert.deepEqual(
      stored.flat().map(({ sequence, body }) => [sequence, body.name]),
      names.map((name, index) => [index + 1, name]),
    );
  });

  test('resolves commits in the order of the calls', async (t) => {
    const store = opened(t, temporary(t));
    const order: number[] = [];
    const commits = Array.from({ length: 50 }, (_, index) =>
      store.commit([], [event('x')]).then(() => order.push(index)),
    );
    await Promise.all(commits);
    assert.deepEqual(
      order,
      [...order].sort((a, b) => a - b),
    );
  });

  test('a commit that fails uses up no number and leaves nothing', async (t) => {
    const disk = failing(openEnv(temporary(t)));
    const store = new Store(disk.env, silentLog, 1000);
    t.after(() => store.close());
    await store.commit([], [event('first')]);
    const good = {
      table: 'addresses',
      key: '10.0.0.9',
      value: { vmId: 1, releasedAtMs: null },
    } as const;
    disk.isBroken = true;
    await assert.rejects(store.commit([good], [event('lost')]), { code: 'STORE_UNAVAILABLE' });
    assert.equal(store.healthy, false);
    disk.isBroken = false;
    const [stored] = await store.commit([], [event('second')]);
    assert.equal(stored?.sequence, 2);
    assert.equal(store.healthy, true);
    assert.deepEqual([...store.addressLeases()], []);
  });

  test('commits that come before a transaction begins share it, and so do those that come while it runs', async (t) => {
    const { env, transactions } = counted(openEnv(temporary(t)));
    const store = new Store(env, silentLog, 1000);
    t.after(() => store.close());
    const first = Array.from({ length: 100 }, () => store.commit([], [event('x')]));
    const second = first[0]?.then(() =>
      Promise.all(Array.from({ length: 100 }, () => store.commit([], [event('y')]))),
    );
    await Promise.all([...first, second]);
    assert.equal(transactions(), 2);
  });

  test('what a failed transaction was the first to contain can be stored later', async (t) => {
    const directory = temporary(t);
    const disk = failing(openEnv(directory));
    const store = new Store(disk.env, silentLog, 1000);
    const trial = { result: 'works', reason: 'it booted', triedAtMs: 1, tries: 1 } as const;
    const value = { 'never-seen-before': trial, 'nor-this': trial };
    const verdicts = { table: 'meta', key: 'kvmTrials', value } as const;
    disk.isBroken = true;
    await assert.rejects(store.commit([verdicts], []), { code: 'STORE_UNAVAILABLE' });
    disk.isBroken = false;
    await store.commit([verdicts], []);
    await store.close();
    assert.deepEqual(opened(t, directory).load().kvmTrials, value);
  });

  test('what cannot be written fails alone, and says nothing about the disk', async (t) => {
    const { env, transactions } = counted(openEnv(temporary(t)));
    const store = new Store(env, silentLog, 1000);
    t.after(() => store.close());
    let deep: unknown = [];
    for (let level = 0; level < 100_000; level += 1) deep = [deep];
    const meta = (value: unknown) => ({ table: 'meta', key: 'x', value }) as unknown as Write;
    const bad: Parameters<Store['commit']>[] = [
      [[meta(deep)], []],
      [[meta(2n ** 80n)], []],
      [[meta('x'.repeat(LIMITS.recordBytesMax))], []],
      [[{ table: 'plugins', key: 'x'.repeat(LIMITS.recordKeyBytesMax), value: null }], []],
      [[meta('good')], [{ ...event('e'), message: deep as string }]],
    ];
    const outcomes = bad.flatMap((commit) => [
      store.commit([], [event('before')]).then(() => 'written'),
      store.commit(...commit).then(
        () => 'written',
        (error) => error.code,
      ),
    ]);
    const expected = bad.flatMap(() => ['written', 'BODY_INVALID']);
    assert.deepEqual(await Promise.all(outcomes), expected);
    assert.equal(store.healthy, true);
    assert.equal(transactions(), 1);
    const [last] = await store.commit([], [event('after')]);
    assert.equal(last?.sequence, bad.length + 1);
  });

  test('is closed to other users, and a state of a newer daemon is refused', async (t) => {
    const directory = join(temporary(t), 'state');
    const store = openStore(directory, silentLog);
    await store.commit([], [event('x')]);
    await store.close();
    assert.equal(statSync(directory).mode & 0o777, 0o700);
    const env = openEnv(directory);
    await env.write(() => openTables(env).meta.put('storeVersion', STORE_VERSION + 1));
    await env.close();
    assert.throws(() => openStore(directory, silentLog), /newer volantd/);
  });

  test('lets what was committed reach the disk before it closes, and takes no more', async (t) => {
    const directory = temporary(t);
    const store = openStore(directory, silentLog);
    const committed = store.commit([], [event('last')]);
    await store.close();
    assert.equal((await committed).length, 1);
    await assert.rejects(store.commit([], [event('late')]), { code: 'SHUTTING_DOWN' });
    assert.equal(opened(t, directory).load().lastSequence, 1);
  });

  test('keeps the newest events and says which is the oldest', async (t) => {
    const directory = temporary(t);
    const store = opened(t, directory, 10);
    for (let round = 0; round < 5; round += 1) {
      await store.commit(
        [],
        Array.from({ length: 7 }, () => event('x')),
      );
    }
    assert.equal(store.oldestSequence(), 26);
    assert.deepEqual(
      store.eventsAfter(0, 100).map(({ sequence }) => sequence),
      [26, 27, 28, 29, 30, 31, 32, 33, 34, 35],
    );
  });

  test('configs of one VM come newest first and only of that VM', async (t) => {
    const store = opened(t, temporary(t));
    const writes = [1, 2].flatMap((vmId) =>
      [1, 2, 3].map((version) => {
        const value = { vmId, version, config: {}, updatedAtMs: 0 } as never;
        return { table: 'configs', key: [vmId, version] as const, value } as const;
      }),
    );
    await store.commit(writes, []);
    assert.deepEqual(
      store.configs(1, 10).map(({ vmId, version }) => [vmId, version]),
      [
        [1, 3],
        [1, 2],
        [1, 1],
      ],
    );
    assert.deepEqual(
      store.configs(2, 2).map(({ version }) => version),
      [3, 2],
    );
    assert.equal(store.config(2, 3)?.version, 3);
  });

  test('artifacts are found again by plugin, version and name, and removed by them', async (t) => {
    const directory = temporary(t);
    const store = openStore(directory, silentLog);
    const artifact = (version: string): ArtifactRecord => ({
      plugin: 'hello',
      version,
      name: 'rootfs',
      kind: 'rootfs',
      sourceUrl: '',
      checksum: '',
      format: 'raw',
      localPath: '',
      sizeBytes: 7,
      createdAtMs: 1,
      updatedAtMs: 2,
    });
    const put = (version: string, value: ArtifactRecord | null) =>
      store.commit([{ table: 'artifacts', key: ['hello', version, 'rootfs'], value }], []);
    await put('1', artifact('1'));
    await put('2', artifact('2'));
    await put('1', null);
    await store.close();
    assert.deepEqual(opened(t, directory).load().artifacts, [artifact('2')]);
  });

  test('the result of a VM is its newest one, until it is removed', async (t) => {
    const directory = temporary(t);
    const store = openStore(directory, silentLog);
    const value = (text: string): ResultRecord => ({
      vmId: 7,
      isJson: false,
      text,
      sizeBytes: text.length,
      postedAtMs: 1,
    });
    const longest = value('"'.repeat(64 * 1024));
    await store.commit([{ table: 'results', key: 7, value: value('first') }], []);
    await store.commit([{ table: 'results', key: 7, value: longest }], []);
    await store.close();
    const again = opened(t, directory);
    assert.deepEqual([again.result(7), again.result(8)], [longest, undefined]);
    // One that has none is removed likewise.
    const remove = (key: number): Write => ({ table: 'results', key, value: null });
    await again.commit([remove(7), remove(8)], []);
    assert.equal(again.result(7), undefined);
  });

  test('an acknowledged commit survives kill -9, and state and event are never apart', async (t) => {
    const directory = temporary(t);
    const writer = fileURLToPath(new URL('./writer.js', import.meta.url));
    let acknowledged = 0;
    for (let round = 0; round < 3; round += 1) {
      const child = spawn(process.execPath, [writer, directory], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const enough = acknowledged + 50;
      for await (const line of createInterface({ input: child.stdout })) {
        acknowledged = Number(line);
        if (acknowledged >= enough) child.kill('SIGKILL');
      }
      const store = openStore(directory, silentLog);
      const { lastSequence, lastVmId } = store.load();
      assert.ok(lastSequence >= acknowledged, `${lastSequence} of ${acknowledged} are there`);
      assert.equal(lastVmId, lastSequence);
      const sequences = store.eventsAfter(0, 1_000_000).map(({ sequence }) => sequence);
      assert.deepEqual(
        sequences,
        sequences.map((_, index) => index + 1),
      );
      await store.close();
      acknowledged = lastSequence;
    }
  });

  test('a new state has a tag of its own, whatever its path is, and keeps it', async (t) => {
    const [first, second] = [temporary(t), temporary(t)];
    const store = openStore(first, silentLog);
    const tag = await store.hostTag('fade');
    assert.match(tag, /^[0-9a-f]{4}$/);
    await store.close();
    assert.equal(await opened(t, first).hostTag('fade'), tag);
    // Two homes with one path, as containers have them: 1 of 65,536 pairs would be equal, two pairs never.
    const third = temporary(t);
    const others = [
      await opened(t, second).hostTag('fade'),
      await opened(t, third).hostTag('fade'),
    ];
    assert.ok(others.some((other) => other !== tag));
  });

  test('a state that is older than the tag keeps the one of its kernel objects', async (t) => {
    const directory = temporary(t);
    const store = openStore(directory, silentLog);
    await store.commit([{ table: 'meta', key: 'lastVmId', value: 1 }], []);
    await store.close();
    assert.equal(await opened(t, directory).hostTag('fade'), 'fade');
  });
});
