// e2e: Ctrl-C of a run of the benchmarks: its processes end, and nothing of its files is left.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';

const NEEDS = ['root', 'netns', 'tun', 'gcc'] as const;

const DRIVER = `
const { measure } = await import(process.argv[1]);
process.exitCode = await measure([process.execPath, ...process.argv.slice(2)]);
`;

/** A run of one suite, as npm run bench starts it, in a process group of its own as of a terminal. */
function startRun(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'volant-interrupt-'));
  const args = [
    '--input-type=module',
    '--eval',
    DRIVER,
    join(PROJECT_ROOT, 'scripts/lib/tests/bench-run.mjs'),
    join(PROJECT_ROOT, '.build/bench/run.js'),
    '--quick',
    'read',
  ];
  const child = spawn(process.execPath, args, {
    cwd: PROJECT_ROOT,
    env: { ...process.env, TMPDIR: directory },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const closed = once(child, 'close');
  t.after(() => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });
  return { child, directory, closed, said: () => said };
}

/** Homes of daemons below the directory whose VMs have been begun. */
function homesIn(directory: string): string[] {
  const below = (path: string) => readdirSync(path).map((name) => join(path, name));
  const homes = below(directory).flatMap(below);
  return homes.filter((home) => {
    const run = join(home, 'run');
    return existsSync(run) && readdirSync(run).length > 0;
  });
}

async function untilBegun({ child, directory, said }: ReturnType<typeof startRun>): Promise<void> {
  const signal = AbortSignal.timeout(60_000);
  while (homesIn(directory).length === 0) {
    assert.equal(child.exitCode, null, said());
    assert.ok(!signal.aborted, said());
    await pause(20);
  }
}

/** Processes with the text in their environment. */
function processesOf(text: string): string[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(text);
    } catch (error) {
      // It has ended meanwhile, or is none of ours.
      const { code = '' } = error as NodeJS.ErrnoException;
      if (['ENOENT', 'ESRCH', 'EACCES'].includes(code)) return false;
      throw error;
    }
  });
}

test('Ctrl-C of a run of the benchmarks leaves no process and no file', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const run = startRun(t);
  const { child, directory, closed, said } = run;
  await untilBegun(run);
  // As a terminal does: to all processes of the group.
  process.kill(-(child.pid ?? 0), 'SIGINT');
  const [status] = await closed;
  assert.equal(status, 130, said());
  assert.match(said(), /interrupted: ending what runs/);
  assert.deepEqual(readdirSync(directory), []);
  assert.deepEqual(processesOf(directory), []);
});

test('a run whose script is told to end by another process ends, too', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const run = startRun(t);
  const { child, directory, closed } = run;
  await untilBegun(run);
  child.kill('SIGTERM');
  await closed;
  assert.deepEqual(readdirSync(directory), []);
  assert.deepEqual(processesOf(directory), []);
});
