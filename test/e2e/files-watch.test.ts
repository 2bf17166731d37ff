// e2e: a watch of files of a real guest: by the client, by volar, and to its end with the guest.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { VolantClient } from '../../src/client/client.ts';
import type { FileWatchEvent } from '../../src/client/types.ts';
import { startVolar } from '../cli/volar.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { untilPasses } from '../helpers/until.ts';
import { startFileGuest } from './file-guests.ts';

const NEEDS = ['root', 'netns', 'tun', 'qemu', 'kernel'] as const;
const TIMEOUT_MS = 20_000;

function textOf(event: FileWatchEvent): string {
  if (event.type === 'overflow') return 'overflow';
  if (event.type === 'end') return `end ${event.reason}`;
  const from = event.from === undefined ? '' : `${event.from} -> `;
  return `${event.type} ${event.kind} ${from}${event.path}`;
}

/** Collects what is told; `until` waits for some of it. */
function collect(watch: AsyncIterable<FileWatchEvent>) {
  const told: string[] = [];
  const ended = (async () => {
    for await (const event of watch) told.push(textOf(event));
  })();
  const until = async (...wanted: readonly string[]) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    while (!wanted.every((line) => told.includes(line))) {
      if (signal.aborted) assert.deepEqual(told, wanted);
      await pause(10);
    }
  };
  return { told, ended, until };
}

/** A watch sees what happens after its answer: until all of them have seen one file, it is made again and again. */
async function untilSeen(
  { files }: VolantClient,
  path: string,
  ...watches: readonly Pick<ReturnType<typeof collect>, 'until'>[]
): Promise<void> {
  let isSeen = false;
  const all = Promise.all(watches.map(({ until }) => until(`created file ${path}`))).finally(() => {
    isSeen = true;
  });
  while (!isSeen) {
    await files.write('one', path, '1');
    await files.remove('one', path);
    await pause(200);
  }
  await all;
}

test('changes of a guest are told as they happen, to the end of the guest', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const { daemon, client } = await startFileGuest(t);
  const { files, execs } = client;
  await files.makeDirectory('one', '/disk/site');
  const site = collect(files.watch('one', '/disk/site', { recursive: true }));
  const api = { VOLANT_API_BASE: daemon.url };
  const printed = startVolar(t, ['watch', 'one:/disk/site', '-r'], api);
  const asJson = startVolar(t, ['--json', 'watch', 'one:/disk/site'], api);
  await untilSeen(
    client,
    '/disk/site/first',
    site,
    { until: () => printed.printed(/^created {2}\/disk\/site\/first$/m) },
    { until: () => asJson.printed(/"path":"\/disk\/site\/first"/) },
  );

  await files.write('one', '/disk/site/index.html', 'hello');
  await site.until('created file /disk/site/index.html');
  await files.change('one', '/disk/site/index.html', { to: '/disk/site/home.html' });
  await site.until('moved file /disk/site/index.html -> /disk/site/home.html');
  await printed.printed(/^moved {4}\/disk\/site\/index\.html -> \/disk\/site\/home\.html$/m);
  // By a program of the guest, in directories that it makes.
  const command =
    'mkdir -p /disk/site/a/b && echo x >/disk/site/a/b/c && echo y >>/disk/site/home.html';
  assert.equal((await execs.run('one', { command })).exit_code, 0);
  await site.until(
    'created directory /disk/site/a',
    'created file /disk/site/a/b/c',
    'changed file /disk/site/home.html',
  );
  await files.remove('one', '/disk/site/a', { recursive: true });
  await site.until('removed directory /disk/site/a');
  await printed.printed(/^removed {2}\/disk\/site\/a\/$/m);

  // Its directory goes, and with it the watches of volar.
  await files.remove('one', '/disk/site', { recursive: true });
  const ended = await printed.ended;
  assert.deepEqual([ended.status, (await asJson.ended).status], [0, 0], ended.stderr);
  assert.match(ended.stderr, /The watch has ended: directory gone/);
  await site.ended;
  assert.equal(site.told.at(-1), 'end directory_gone');

  // Who leaves is no longer served, and leaves nothing in the guest.
  const stop = new AbortController();
  const left = collect(files.watch('one', '/disk', { signal: stop.signal }));
  const stays = collect(files.watch('one', '/disk'));
  await untilSeen(client, '/disk/first', left, stays);
  const watchers = async () => {
    const { stdout } = await execs.run('one', { command: 'ps | grep -c "[v]olant-files"' });
    return stdout.trim();
  };
  // Programs of earlier requests may take some time to end.
  await untilPasses(async () => assert.equal(await watchers(), '2'));
  stop.abort();
  await assert.rejects(left.ended, { name: 'AbortError' });
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  while ((await watchers()) !== '1') {
    assert.ok(!signal.aborted, 'a watch of nobody is left');
    await pause(50);
  }
  assert.equal((await daemon.call('POST', '/api/v1/vms/one/stop?grace_seconds=0')).status, 200);
  await stays.ended;
  assert.equal(stays.told.at(-1), 'end guest_gone');
});
