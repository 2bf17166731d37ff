// e2e: faults of the daemon's log, its standard output and its working directory while it runs. It continues to serve, and
// ends on request.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { until } from '../helpers/until.ts';

const PORT = 27_000 + (process.pid % 4_900);
const URL_BASE = `http://127.0.0.1:${PORT}`;
interface Started {
  readonly child: ChildProcess;
  /** SIGTERM; resolves with the exit status. */
  terminate(): Promise<number | null>;
}

/** A daemon that nobody listens to but by HTTP. */
async function start(
  t: TestContext,
  settings: Record<string, string>,
  cwd = '/',
): Promise<Started> {
  const env = {
    PATH: process.env['PATH'] ?? '',
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_LOG_LEVEL: 'debug',
    VOLANT_API_LISTEN: `127.0.0.1:${PORT}`,
    ...settings,
  };
  const main = join(PROJECT_ROOT, 'dist/main.js');
  const child = spawn(process.execPath, [main], { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  await until('it serves', serves);
  const terminate = async () => {
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    return (await ended)[0] as number | null;
  };
  return { child, terminate };
}

async function serves(): Promise<boolean> {
  try {
    return (await fetch(`${URL_BASE}/healthz`)).ok;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/** Requests that are logged, each with the text in its path. */
async function askMuch(text: string, count: number): Promise<void> {
  for (let round = 0; round < count; round += 1) {
    const answer = await fetch(`${URL_BASE}/api/v1/vms/${text}`);
    await answer.arrayBuffer();
    assert.equal(answer.status, 404);
  }
}

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-logs-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

suite('the log', () => {
  test('is moved away, is opened again on request, is full, and works again', async (t) => {
    if (!requireCapability(t, 'root', 'netns')) return;
    const home = temporary(t);
    const file = join(home, 'daemon.log');
    const { child, terminate } = await start(t, { VOLANT_HOME: home, VOLANT_LOG_FILE: file });
    renameSync(file, `${file}.old`);
    child.kill('SIGHUP');
    await until('SIGHUP', () => existsSync(file) && readFileSync(file, 'utf8').includes('SIGHUP'));
    rmSync(file);
    symlinkSync('/dev/full', file);
    child.kill('SIGHUP');
    await askMuch('while-full', 200);
    await until('it serves', serves);
    rmSync(file);
    const works = () => existsSync(file) && readFileSync(file, 'utf8').includes('while-full');
    await until('the lines that waited', works);
    // It ends as asked while it is full again.
    rmSync(file);
    symlinkSync('/dev/full', file);
    child.kill('SIGHUP');
    await askMuch('full-again', 10);
    assert.equal(await terminate(), 0);
  });

  test('is a standard output that is closed, in a directory that is deleted', async (t) => {
    if (!requireCapability(t, 'root', 'netns')) return;
    const home = temporary(t);
    const cwd = join(home, 'here');
    mkdirSync(cwd);
    const { child, terminate } = await start(t, { VOLANT_HOME: home }, cwd);
    rmdirSync(cwd);
    child.stdout?.destroy();
    child.stderr?.destroy();
    await askMuch('nobody-listens', 50);
    child.kill('SIGHUP');
    child.kill('SIGPIPE');
    await askMuch('nobody-listens', 5);
    await until('it serves', serves);
    assert.equal(await terminate(), 0);
  });

  test('is a standard output that nobody reads', async (t) => {
    if (!requireCapability(t, 'root', 'netns')) return;
    const home = temporary(t);
    // The test reads nothing: the pipe is full after 64 KiB.
    const { child, terminate } = await start(t, { VOLANT_HOME: home });
    child.stdout?.pause();
    await askMuch('nobody-reads'.repeat(15), 600);
    await until('it serves', serves);
    assert.equal(await terminate(), 0);
  });
});
