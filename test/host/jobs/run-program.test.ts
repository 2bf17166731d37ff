// Programs that a job runs: each ends in time, and none sees what the daemon alone may know.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { JobFault } from '../../../src/host/jobs/fault.ts';
import {
  LAUNCH_ENVIRONMENT,
  runOrLeave,
  runProgram,
  runToEnd,
  spawnProgram,
} from '../../../src/host/jobs/run-program.ts';
import { PROJECT_ROOT } from '../../helpers/capabilities.ts';

const WORDS = { what: 'Rules cannot be set up', packageName: 'rules-tools' };

function refusalOf(run: () => unknown): JobFault {
  try {
    run();
  } catch (error) {
    if (error instanceof JobFault) return error;
    throw error;
  }
  return assert.fail('it was not refused');
}

test('a program gets its input and gives its output', () => {
  assert.equal(runProgram('cat', [], WORDS, { input: 'rules' }), 'rules');
  assert.equal(runProgram('cat', [], WORDS), '');
});

test('its environment has the directories of programs and a language, and nothing of the daemon', async (t) => {
  process.env['VOLANT_API_KEY'] = 'secret';
  t.after(() => delete process.env['VOLANT_API_KEY']);
  const environments = [
    runProgram('env', [], WORDS),
    spawnProgram('env', []).stdout,
    (await runOrLeave('env', [], 10_000)).printed,
  ];
  for (const text of environments) {
    const names = text
      .trim()
      .split('\n')
      .map((line) => line.replace(/=.*/, ''))
      // Node itself adds it where coverage is measured.
      .filter((name) => name !== 'NODE_V8_COVERAGE');
    assert.deepEqual(names.sort(), ['LANG', 'PATH']);
    assert.match(text, /^PATH=.*:\/usr\/sbin:/m);
  }
  assert.deepEqual(
    LAUNCH_ENVIRONMENT.map((text) => text.replace(/=.*/, '')),
    ['PATH', 'LANG'],
  );
});

test('one that is missing is reported with its package, one that fails with its words in the log', () => {
  const missing = refusalOf(() => runProgram('volant-no-such-program', [], WORDS));
  assert.equal(missing.message, 'Rules cannot be set up: install the package rules-tools');
  const failed = refusalOf(() => runProgram('sh', ['-c', 'echo why >&2; exit 3'], WORDS));
  assert.equal(failed.message, 'Rules cannot be set up: see the log');
  assert.match(failed.fault.cause ?? '', /sh ended with status 3: why/);
});

test('one that hangs, and ignores SIGTERM, ends when its time is over', async () => {
  const args = ['-c', "trap '' TERM; echo began; while :; do sleep 1; done"];
  const startedMs = performance.now();
  const options = { timeoutMs: 500 };
  const refused = refusalOf(() => runProgram('sh', args, WORDS, options));
  assert.match(refused.fault.cause ?? '', /ETIMEDOUT/);
  const left = await runOrLeave('sh', args, 500);
  assert.deepEqual(left, { status: null, printed: 'began\n', said: '' });
  assert.ok(performance.now() - startedMs < 10_000);
});

test('one that takes long ends with its signal, and with the thread that has started it', async () => {
  const missing = await runToEnd('volant-no-such-program', [], {
    signal: AbortSignal.timeout(10_000),
  });
  assert.equal(missing.status, 127);
  const cut = runToEnd('sleep', ['1000'], { signal: AbortSignal.timeout(200) });
  await assert.rejects(cut, { name: 'TimeoutError' });
  const mark = `${4_000_000 + process.pid}`;
  const module = new URL('../../../src/host/jobs/run-program.js', import.meta.url).href;
  const code = `import(${JSON.stringify(module)}).then(({ runToEnd }) =>
    runToEnd('sleep', ['${mark}'], { signal: new AbortController().signal }))`;
  const worker = new Worker(code, { eval: true });
  const runs = () => spawnSync('pgrep', ['-fx', `sleep ${mark}`]).status === 0;
  const until = async (wanted: boolean) => {
    for (let tries = 0; runs() !== wanted; tries += 1) {
      assert.ok(tries < 500, wanted ? 'it has not begun' : 'it has outlived its thread');
      await pause(20);
    }
  };
  await until(true);
  await worker.terminate();
  await until(false);
});

test('a job runs programs here only', () => {
  const jobs = join(PROJECT_ROOT, 'src/host/jobs');
  const users = readdirSync(jobs, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .filter((file) => readFileSync(join(jobs, file), 'utf8').includes('node:child_process'));
  assert.deepEqual(users, ['run-program.ts']);
});
