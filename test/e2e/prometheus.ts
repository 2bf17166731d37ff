// test helpers: a real Prometheus with the configuration of deploy/, which scrapes a daemon every second.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';
import type { Daemon } from './daemon.ts';

export const DEPLOY = join(PROJECT_ROOT, 'deploy');
export const RULES = join(DEPLOY, 'prometheus/volant.rules.yml');

const PORT = 9_090;
const READY_TRIES = 300;

export interface Found {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [seconds: number, value: string];
}

export interface Prometheus {
  /** What an instant query finds now. */
  readonly query: (text: string) => Promise<readonly Found[]>;
  /** The value of the first series of it. */
  readonly first: (text: string) => Promise<string | undefined>;
  /** Series that it has in memory, those that ended in the last hours included. */
  readonly seriesInMemory: () => Promise<number>;
}

/** Resolves when it is ready. It ends with the test. Its port is one of the test's own network namespace. */
export async function startPrometheus(
  t: TestContext,
  { url }: Daemon,
  token: string,
): Promise<Prometheus> {
  const directory = mkdtempSync(join(tmpdir(), 'volant-prometheus-'));
  const address = `127.0.0.1:${PORT}`;
  const child = spawn(
    'prometheus',
    [
      `--config.file=${configIn(directory, url, token)}`,
      `--storage.tsdb.path=${directory}/data`,
      `--web.listen-address=${address}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr.on('data', (chunk) => {
    log = (log + chunk).slice(-10_000);
  });
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGTERM');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  });
  for (let tries = 0; !(await isReady(address)); tries += 1) {
    if (child.exitCode !== null || tries > READY_TRIES) throw new Error(`Prometheus: ${log}`);
    await pause(100);
  }
  const query = async (text: string) => {
    const response = await fetch(
      `http://${address}/api/v1/query?query=${encodeURIComponent(text)}`,
    );
    const { status, error, data } = (await response.json()) as {
      status: string;
      error?: string;
      data: { result: Found[] };
    };
    assert.equal(status, 'success', `${text}: ${error}`);
    return data.result;
  };
  const seriesInMemory = async () => {
    const response = await fetch(`http://${address}/api/v1/status/tsdb`);
    const { data } = (await response.json()) as { data: { headStats: { numSeries: number } } };
    return data.headStats.numSeries;
  };
  return { query, seriesInMemory, first: async (text) => (await query(text))[0]?.value[1] };
}

/** The example of deploy/ with this address and key, checked by promtool. */
function configIn(directory: string, url: string, token: string): string {
  const key = join(directory, 'volant.key');
  writeFileSync(key, token, { mode: 0o600 });
  writeFileSync(join(directory, 'volant.rules.yml'), readFileSync(RULES));
  const config = readFileSync(join(DEPLOY, 'prometheus/prometheus.yml'), 'utf8')
    .replaceAll('15s', '1s')
    .replace('127.0.0.1:7777', url.replace('http://', ''))
    .replace(
      /# (authorization:\n +)# ( +type: Bearer\n +)# ( +credentials_file: ).*$/m,
      `$1$2$3${key}`,
    );
  assert.ok(config.includes(key), config);
  const file = join(directory, 'prometheus.yml');
  writeFileSync(file, config);
  execFileSync('promtool', ['check', 'config', file]);
  return file;
}

function isReady(address: string): Promise<boolean> {
  return fetch(`http://${address}/-/ready`).then(
    ({ ok }) => ok,
    () => false,
  );
}
