// scripts: problems are found before anything is changed, and reported with their remedies.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadScript } from './load.ts';

interface Host {
  readonly platform: string;
  readonly arch: string;
  readonly nodeVersion: string;
  readonly glibcVersion: string | null;
}

const { buildProblems, nodeLimit, requireNone, runProblems } = await loadScript<{
  buildProblems(host?: Host): string[];
  nodeLimit(nodeVersion?: string): string | null;
  runProblems(home: string, environment: Record<string, string>): Promise<string[]>;
  requireNone(problems: readonly string[]): void;
}>('lib/service/preflight.mjs');

const GOOD: Host = { platform: 'linux', arch: 'x64', nodeVersion: '20.20.2', glibcVersion: '2.36' };

test('a fitting host has no problem', () => {
  assert.deepEqual(buildProblems(GOOD), []);
  assert.deepEqual(buildProblems({ ...GOOD, nodeVersion: '22.1.0', glibcVersion: '2.39' }), []);
});

test('another system, an old Node and an old glibc are each named with what to do', () => {
  const other = buildProblems({ ...GOOD, platform: 'darwin', arch: 'arm64' });
  assert.match(other.join(), /x86-64 Linux, and this is darwin\/arm64/);
  assert.match(
    buildProblems({ ...GOOD, nodeVersion: '18.19.0' }).join(),
    /install Node 24, or Node 20/,
  );
  assert.match(buildProblems({ ...GOOD, nodeVersion: '22.1.0' }).join(), /use Node 20, or/);
  assert.match(buildProblems({ ...GOOD, glibcVersion: null }).join(), /glibc \(Debian, Ubuntu\)/);
});

test('the limit of Node 20 is reported, and newer versions have none', () => {
  assert.match(
    nodeLimit('20.20.2') ?? '',
    /two TCP segments is answered with 505.*docs\/systems\.md/,
  );
  assert.deepEqual([nodeLimit('22.23.3'), nodeLimit('24.21.0')], [null, null]);
});

test('a port in use is named, and the home is not touched', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  const parent = mkdtempSync(join(tmpdir(), 'volant-preflight-'));
  try {
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    const home = join(parent, 'home');
    // A name is tried where the daemon listens: at its IPv4 address.
    for (const host of ['127.0.0.1', 'localhost']) {
      const problems = await runProblems(home, { VOLANT_API_LISTEN: `${host}:${port}` });
      assert.ok(problems.some((problem) => problem.startsWith(`${host}:${port} is in use`)));
    }
    assert.equal(existsSync(home), false);
  } finally {
    server.close();
    rmSync(parent, { recursive: true, force: true });
  }
});

test('a listen address that means nothing is named', async () => {
  const problems = await runProblems(tmpdir(), { VOLANT_API_LISTEN: 'nonsense' });
  assert.match(problems.join('\n'), /use host:port or unix:\/path/);
});

test('all problems are reported at once', () => {
  assert.throws(() => requireNone(['One.', 'Two.']), /- One\.\n.*- Two\./);
  requireNone([]);
});
