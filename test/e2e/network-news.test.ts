// What the kernel tells of links: a loss is told, and a link that is being made is none, though it is down and no port of
// anything for a moment. Whoever took each launch for a loss would look at the whole network after each.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { ExitWatcher } from '../../src/workers/exit-watcher.ts';
import { requireCapability } from '../helpers/capabilities.ts';

/** Longer than news wait to be read together. */
const QUIET_MS = 300;
const ATTEMPTS = 5;

function watch(t: TestContext): string[] {
  const told: string[] = [];
  const watcher = new ExitWatcher();
  t.after(() => watcher.close());
  watcher.watchNetwork((changes) =>
    told.push(...changes.map(({ kind, name }) => `${kind} ${name}`)),
  );
  return told;
}

const ip = (...commands: readonly string[]) =>
  execFileSync('ip', ['-batch', '-'], {
    input: commands.map((command) => `${command}\n`).join(''),
  });

suite("the kernel's news of links", () => {
  test('a link that is made is not told', async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun')) return;
    ip('link add vbnews type bridge', 'link set vbnews up');
    t.after(() => ip('link delete vbnews'));
    const told = watch(t);
    const wasTold: boolean[] = [];
    for (let number = 0; number < ATTEMPTS; number += 1) {
      const name = `vtnews${number}`;
      ip(`tuntap add ${name} mode tap`, `link set ${name} master vbnews`, `link set ${name} up`);
      await pause(QUIET_MS);
      wasTold.push(told.some((line) => line.endsWith(name)));
      ip(`link delete ${name}`);
    }
    // A host that is busy may part the making of one between two readings.
    assert.ok(wasTold.includes(false), told.join(', '));
  });

  test('each way to lose one is told, by what is true in the end', async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun')) return;
    ip('link add vbnews type bridge', 'link set vbnews up');
    t.after(() => ip('link delete vbnews'));
    const told = watch(t);
    const after = async (...commands: readonly string[]) => {
      told.length = 0;
      ip(...commands);
      await pause(QUIET_MS);
      return told.findLast((line) => line.endsWith('vtnews'));
    };
    const made = [
      'tuntap add vtnews mode tap',
      'link set vtnews master vbnews',
      'link set vtnews up',
    ];
    await after(...made);
    assert.equal(await after('link set vtnews down'), 'down vtnews');
    await after('link set vtnews up');
    assert.equal(await after('link set vtnews nomaster'), 'loose vtnews');
    assert.equal(await after('link delete vtnews'), 'gone vtnews');
    assert.equal(await after(...made, 'link delete vtnews'), 'gone vtnews');
  });
});
