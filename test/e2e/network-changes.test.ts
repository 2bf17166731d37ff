// e2e: the kernel's notifications about links: a lost link is reported, and a link that is being created is not, though it
// is down and without a bridge for a moment. Otherwise each launch would trigger a check of the whole network.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { ExitWatcher } from '../../src/host/exit-watcher.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { untilPasses } from '../helpers/until.ts';

/** Longer than changes wait to be read together. */
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

suite("the kernel's notices of links", () => {
  test('a link that is made is not reported', async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun')) return;
    ip('link add vbseen type bridge', 'link set vbseen up');
    t.after(() => ip('link delete vbseen'));
    const told = watch(t);
    const wasTold: boolean[] = [];
    for (let number = 0; number < ATTEMPTS; number += 1) {
      const name = `vtseen${number}`;
      ip(`tuntap add ${name} mode tap`, `link set ${name} master vbseen`, `link set ${name} up`);
      await pause(QUIET_MS);
      wasTold.push(told.some((line) => line.endsWith(name)));
      ip(`link delete ${name}`);
    }
    // A host that is busy may part the making of one between two readings.
    assert.ok(wasTold.includes(false), told.join(', '));
  });

  test('each way to lose one is reported, by what is true in the end', async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun')) return;
    ip('link add vbseen type bridge', 'link set vbseen up');
    t.after(() => ip('link delete vbseen'));
    const told = watch(t);
    const after = async (...commands: readonly string[]) => {
      told.length = 0;
      ip(...commands);
      await pause(QUIET_MS);
    };
    const last = () => told.findLast((line) => line.endsWith('vtseen'));
    const made = [
      'tuntap add vtseen mode tap',
      'link set vtseen master vbseen',
      'link set vtseen up',
    ];
    const reports = async (line: string, ...commands: readonly string[]) => {
      await after(...commands);
      await untilPasses(() => assert.equal(last(), line));
    };
    await after(...made);
    await reports('down vtseen', 'link set vtseen down');
    await after('link set vtseen up');
    await reports('loose vtseen', 'link set vtseen nomaster');
    await reports('gone vtseen', 'link delete vtseen');
    await reports('gone vtseen', ...made, 'link delete vtseen');
  });
});
