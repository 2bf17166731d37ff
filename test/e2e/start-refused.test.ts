// e2e: a problem at the start is reported as one sentence with a remedy and exit status 2: no stack, no signal.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';

const MAIN = join(PROJECT_ROOT, 'dist/main.js');

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-refused-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Starts a daemon that is to refuse. What it said, which is one line. */
function refusalOf(home: string, settings: Record<string, string> = {}, cwd = '/'): string {
  const env = {
    PATH: process.env['PATH'] ?? '',
    VOLANT_HOME: home,
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_API_LISTEN: `unix:${home}/api.sock`,
    ...settings,
  };
  const options = { env, cwd, encoding: 'utf8', timeout: 60_000 } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN], options);
  assert.equal(status, 2, `${stdout}${stderr}`);
  assert.match(stderr, /^volantd cannot start: [^\n]+\n$/);
  return stderr;
}

suite('a start that is refused', () => {
  for (const files of [64, 160]) {
    test(`${files} open files`, (t) => {
      const home = temporary(t);
      const env = { PATH: process.env['PATH'] ?? '', VOLANT_HOME: home };
      const command = ['-c', `ulimit -n ${files}; exec "$0" "$1"`, process.execPath, MAIN];
      const { status, stderr } = spawnSync('sh', command, { env, encoding: 'utf8' });
      assert.equal(status, 2, stderr);
      assert.match(
        stderr,
        new RegExp(`^volantd cannot start: it may have ${files} files open [^\\n]+\\n$`),
      );
    });
  }

  test('damaged records', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
    for (let index = 0; index < 20; index += 1) {
      const request = { name: `c-${index}`, config: { cpu_cores: 1 } };
      await daemon.call('POST', '/api/v1/vms?dry_run=true', request);
    }
    await daemon.kill('SIGKILL');
    const file = join(daemon.home, 'state/volant.lmdb');
    truncateSync(file, Math.floor(statSync(file).size / 2));
    const said = refusalOf(daemon.home);
    assert.match(said, /records in .*state are damaged/);
    assert.match(said, /--restore FILE/);
    assert.match(said, /--adopt-orphans/);
    // There is nothing to tear down.
    rmSync(file);
    rmSync(join(daemon.home, 'run/home.json'));
  });

  test('a directory that another daemon uses, by whatever setting', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
    const shared = {
      VOLANT_RUNTIME_DIR: 'run',
      VOLANT_DISK_DIR: 'disks',
      VOLANT_MEDIA_CACHE_DIR: 'cache',
      VOLANT_DB_PATH: 'state',
    };
    for (const [setting, name] of Object.entries(shared)) {
      const path = join(daemon.home, name);
      const said = refusalOf(temporary(t), { [setting]: path });
      assert.match(said, new RegExp(`pid ${daemon.pid()} uses ${path} already`), said);
      assert.match(said, new RegExp(setting));
    }
    assert.match(refusalOf(daemon.home), new RegExp(`pid ${daemon.pid()} serves ${daemon.home}`));
  });

  test('a home that cannot be made or written to, and a log that cannot be opened', (t) => {
    const home = temporary(t);
    const file = join(home, 'file');
    writeFileSync(file, '');
    const below = { VOLANT_DISK_DIR: join(file, 'disks') };
    assert.match(refusalOf(home, below), /VOLANT_DISK_DIR: .* cannot be made \(ENOTDIR: /);
    assert.match(refusalOf('/proc/volant/home'), /VOLANT_HOME: .* cannot be made \(ENOENT: /);
    const log = join(home, 'directory');
    mkdirSync(log);
    const said = refusalOf(join(home, 'home'), { VOLANT_LOG_FILE: log });
    assert.match(said, /VOLANT_LOG_FILE: .* cannot be written to \(EISDIR: /);
  });

  test('a read-only file system is called by its name', (t) => {
    if (!requireCapability(t, 'root')) return;
    const home = temporary(t);
    const script = `mount -t tmpfs -o ro tmpfs ${home} && exec "$0" "$1"`;
    const env = { PATH: process.env['PATH'], VOLANT_HOME: join(home, 'a/b') };
    const run = (VOLANT_HOME: string) =>
      spawnSync('unshare', ['-m', 'sh', '-c', script, process.execPath, MAIN], {
        env: { ...env, VOLANT_HOME },
        encoding: 'utf8',
        timeout: 60_000,
      });
    for (const path of [home, join(home, 'a/b')]) {
      const { status, stderr } = run(path);
      assert.equal(status, 2, stderr);
      assert.match(stderr, /^volantd cannot start: VOLANT_HOME: [^\n]* \(EROFS: [^\n]*\)\n$/);
    }
  });

  test('a working directory that was deleted', (t) => {
    const home = temporary(t);
    const gone = join(home, 'gone');
    mkdirSync(gone);
    const script = `cd ${gone} && rmdir ${gone} && exec "$0" "$1"`;
    const { status, stderr } = spawnSync('sh', ['-c', script, process.execPath, MAIN], {
      env: { PATH: process.env['PATH'], VOLANT_HOME: home },
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.equal(status, 2, stderr);
    assert.match(stderr, /^volantd cannot start: the working directory was deleted[^\n]*\n$/);
    assert.equal(existsSync(join(home, 'state')), false);
  });
});
