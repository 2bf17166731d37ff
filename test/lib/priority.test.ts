// test, lib: the main thread comes before what works for it, and nothing that is started inherits that.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { getPriority } from 'node:os';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { type Priorities, putMainThreadFirst, putSessionFirst } from '../../src/lib/priority.ts';
import { requireCapability } from '../helpers/capabilities.ts';

const MODULE = new URL('../../src/lib/priority.js', import.meta.url).href;
const NOBODY = 65_534;

/** What a thread that works for the main thread has, and what a program has that it starts. */
function seenByWorker(priorities: Priorities): Promise<readonly [number, number]> {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(${JSON.stringify(MODULE)}).then(({ useOrdinaryPriority }) => {
      useOrdinaryPriority(workerData);
      const program = require('node:child_process').execFileSync('nice', { encoding: 'utf8' });
      parentPort.postMessage([require('node:os').getPriority(), Number(program)]);
    });`;
  const worker = new Worker(source, { eval: true, workerData: priorities });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

test('every thread but those that work for the main thread comes first', async (t) => {
  if (!requireCapability(t, 'root')) return;
  const before = Number(execFileSync('nice', { encoding: 'utf8' }));
  const priorities = putMainThreadFirst();
  assert.deepEqual(priorities, { others: before, isMainFirst: true });
  const first = Math.max(-20, before - 10);
  for (const thread of readdirSync('/proc/self/task')) {
    assert.equal(getPriority(Number(thread)), first);
  }
  assert.deepEqual(await seenByWorker(priorities), [before, before]);
  assert.equal(getPriority(), first, 'a thread changes its own priority only');
});

test('where the host does not allow it, all is as before', (t) => {
  if (!requireCapability(t, 'root')) return;
  const source = `
    process.setgid(${NOBODY});
    process.setuid(${NOBODY});
    const { getPriority } = await import('node:os');
    const before = getPriority();
    console.log(JSON.stringify([putMainThreadFirst(), getPriority() === before]));`;
  const text = `import { putMainThreadFirst } from ${JSON.stringify(MODULE)};${source}`;
  const args = ['--input-type=module', '--eval', text];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  const [priorities, isAsBefore] = JSON.parse(stdout || `["${stderr}"]`);
  assert.equal(priorities.isMainFirst, false);
  assert.equal(isAsBefore, true);
});

test('a session of its own comes first, too, where the kernel shares out by sessions', (t) => {
  if (!requireCapability(t, 'root')) return;
  const group = '/proc/self/autogroup';
  const source = `import { putSessionFirst } from ${JSON.stringify(MODULE)};
    import { readFileSync } from 'node:fs';
    const done = putSessionFirst(0);
    console.log(JSON.stringify([done, done ? readFileSync('${group}', 'utf8') : '']));`;
  const args = ['--wait', process.execPath, '--input-type=module', '--eval', source];
  const [done, told] = JSON.parse(execFileSync('setsid', args, { encoding: 'utf8' }));
  assert.equal(done, existsSync(group));
  if (done) assert.match(told, /nice -10$/m);
});

test('the session of a shell is left alone, as is that of a program far above', () => {
  const fromShell = '70 (node (x) y) R 60 70 60 34816 70 0 0';
  const farBelow = '70 (node) R 60 70 50 0 -1 0 0';
  for (const stat of [fromShell, farBelow]) assert.equal(putSessionFirst(0, stat), false);
});
