// What the daemon relies on in its log: whatever happens to the file or the pipe, writing never throws, never waits and never
// grows without bound; what was lost is counted and reported; and the end does not wait for it.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { createLog, type LogOptions, type OpenLog } from '../../../src/lib/log/log.ts';
import { requireCapability } from '../../helpers/capabilities.ts';

const LOG_MODULE = new URL('../../../src/lib/log/log.js', import.meta.url).href;
const UNCAUGHT_MODULE = new URL('../../../src/lib/log/uncaught-errors.js', import.meta.url).href;

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-log-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const OPTIONS: LogOptions = {
  level: 'info',
  file: null,
  fileBytesMax: 1024 * 1024,
  queueCharactersMax: 64 * 1024,
  retryMs: 20,
  checkMs: 20,
};

/** Closed when the test is over. */
function opened(t: TestContext, options: LogOptions): OpenLog {
  const log = createLog(options);
  t.after(() => log.close(1_000));
  return log;
}

interface Line {
  readonly msg: string;
  readonly n?: number;
  readonly lines?: number;
  readonly why?: string;
}

const linesOf = (...files: string[]): Line[] =>
  files.flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      // What follows the last line break is still being written.
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line),
  );

const numbersOf = (...files: string[]) =>
  linesOf(...files).flatMap(({ n }) => (n === undefined ? [] : [n]));

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(5);
}

test('a file is rotated by size, and no line is lost by it', async (t) => {
  const file = join(temporary(t), 'logs/daemon.log');
  const { log, flush } = opened(t, { ...OPTIONS, file, fileBytesMax: 20_000 });
  for (const n of upTo(300)) log.info({ n }, 'a line');
  await flush(5_000);
  for (const n of upTo(20)) log.info({ n: 300 + n }, 'a line');
  await flush(5_000);
  assert.deepEqual(numbersOf(`${file}.1`), upTo(300));
  assert.deepEqual(numbersOf(`${file}.1`, file), upTo(320));
});

test('a file that was moved away is made again, also when it has to be rotated, and on request at once', async (t) => {
  const directory = temporary(t);
  const file = join(directory, 'daemon.log');
  const { log, flush, reopen } = opened(t, { ...OPTIONS, file, fileBytesMax: 2_000, checkMs: 1e9 });
  log.info({ n: 0 }, 'first');
  await flush(5_000);
  renameSync(file, join(directory, 'old'));
  reopen();
  log.info({ n: 1 }, 'second');
  await flush(5_000);
  assert.deepEqual(numbersOf(file), [1]);
  // Without a word, and more than fits.
  renameSync(file, join(directory, 'older'));
  for (const n of upTo(100)) {
    log.info({ n }, 'a line');
    await flush(5_000);
  }
  assert.ok(readdirSync(directory).length >= 4);
  assert.equal(numbersOf(file).at(-1), 99);
});

test('a file that was deleted, with its directory, is noticed by itself', async (t) => {
  const directory = join(temporary(t), 'logs');
  const file = join(directory, 'daemon.log');
  const { log, flush } = opened(t, { ...OPTIONS, file });
  log.info({ n: 0 }, 'first');
  await flush(5_000);
  rmSync(directory, { recursive: true });
  await pause(30);
  log.info({ n: 1 }, 'second');
  await flush(5_000);
  assert.deepEqual(numbersOf(file), [1]);
});

test('a full disk costs lines, which are counted, and reported when there is space', async (t) => {
  const file = join(temporary(t), 'daemon.log');
  symlinkSync('/dev/full', file);
  const { log, flush } = opened(t, { ...OPTIONS, file });
  for (const n of upTo(5_000)) log.info({ n }, 'a line');
  await flush(5_000);
  unlinkSync(file);
  writeFileSync(file, '');
  await until(() => linesOf(file).some(({ lines }) => lines !== undefined));
  const kept = numbersOf(file);
  const told = linesOf(file).find(({ lines }) => lines !== undefined);
  assert.deepEqual(kept, upTo(kept.length));
  assert.equal(kept.length + (told?.lines ?? 0), 5_000);
  assert.match(told?.why ?? '', /ENOSPC/);
  log.info({ n: 5_000 }, 'a line');
  await flush(5_000);
  assert.equal(numbersOf(file).at(-1), 5_000);
});

test('what stands in the place of the file harms nobody, and neither does a device', async (t) => {
  const directory = temporary(t);
  const file = join(directory, 'daemon.log');
  const { log, flush } = opened(t, { ...OPTIONS, file, fileBytesMax: 1_000 });
  mkdirSync(`${file}.1`);
  writeFileSync(`${file}.1/in-the-way`, '');
  for (const n of upTo(100)) {
    log.info({ n }, 'a line');
    if (n % 10 === 0) await flush(5_000);
  }
  await flush(5_000);
  assert.deepEqual(numbersOf(file), upTo(100));
  // Only root can make a device.
  if (!requireCapability(t, 'root')) return;
  const device = join(directory, 'null');
  execFileSync('mknod', [device, 'c', '1', '3']);
  chmodSync(device, 0o666);
  const other = opened(t, { ...OPTIONS, file: device, fileBytesMax: 1_000 });
  for (const n of upTo(100)) other.log.info({ n }, 'a line');
  await other.flush(5_000);
  assert.ok(!existsSync(`${device}.1`));
});

test('nothing waits for a pipe that nobody reads; what it did not take is reported to the next reader', async (t) => {
  const file = join(temporary(t), 'pipe');
  execFileSync('mkfifo', [file]);
  assert.throws(() => createLog({ ...OPTIONS, file }), { code: 'ENXIO' });
  const reader = spawn('sh', ['-c', `exec <${file}; sleep 1000 & echo $!; wait; cat`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.after(() => reader.kill('SIGKILL'));
  await pause(50);
  let pipe: OpenLog | undefined;
  while (pipe === undefined) {
    try {
      pipe = opened(t, { ...OPTIONS, file });
    } catch {
      await pause(10);
    }
  }
  const [sleeper] = (await once(reader.stdout, 'data')) as [Buffer];
  let text = '';
  reader.stdout.on('data', (chunk) => {
    text += chunk;
  });
  const { log, flush } = pipe;
  for (const n of upTo(20_000)) log.info({ n }, 'a line');
  const beganMs = performance.now();
  await flush(100);
  assert.ok(performance.now() - beganMs < 5_000);
  process.kill(Number(sleeper), 'SIGKILL');
  await until(() => text.includes('were lost'));
  log.info({ n: -1 }, 'the last');
  await until(() => text.includes('the last'));
  const lines = text.split('\n').filter((line) => line !== '');
  const parsed = lines.map((line) => JSON.parse(line) as Line);
  const lost = parsed.find((line) => line.lines !== undefined)?.lines ?? 0;
  assert.equal(parsed.length - 2 + lost, 20_000);
});

test('a closed standard output, and errors that nobody took, do not end the process', async (t) => {
  const marker = join(temporary(t), 'marker');
  const program = `
    import { writeFileSync } from 'node:fs';
    import { EventEmitter } from 'node:events';
    import { createLog } from '${LOG_MODULE}';
    import { logUncaughtErrors } from '${UNCAUGHT_MODULE}';
    const opened = createLog(${JSON.stringify(OPTIONS)});
    logUncaughtErrors(opened.log);
    const every = setInterval(() => opened.log.info({}, 'still here'), 5);
    setTimeout(() => { throw new Error('thrown in a timer') }, 50);
    setTimeout(() => Promise.reject(new Error('held by nobody')), 60);
    setTimeout(() => new EventEmitter().emit('error', new Error('heard by nobody')), 70);
    setTimeout(() => process.emitWarning('something'), 80);
    setTimeout(() => process.stderr.write('to nobody'), 90);
    setTimeout(async () => {
      clearInterval(every);
      await opened.flush(100);
      writeFileSync('${marker}', 'alive');
      process.exit(0);
    }, 300);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for await (const chunk of child.stdout) {
    text += chunk;
    if (text.includes('still here')) break;
  }
  child.stderr.destroy();
  const [status] = await once(child, 'exit');
  assert.equal(status, 0);
  assert.equal(readFileSync(marker, 'utf8'), 'alive');
});

test('errors that nobody took are in the log, with what Node warns of', async () => {
  const program = `
    import { createLog } from '${LOG_MODULE}';
    import { logUncaughtErrors } from '${UNCAUGHT_MODULE}';
    const opened = createLog(${JSON.stringify(OPTIONS)});
    logUncaughtErrors(opened.log);
    setTimeout(() => { throw new Error('thrown in a timer') }, 5);
    for (let n = 0; n < 1000; n += 1) setTimeout(() => Promise.reject(new Error('held by nobody')), 10);
    setTimeout(() => process.emitWarning('something'), 20);
    setTimeout(() => opened.flush(1000).then(() => process.exit(0)), 100);
  `;
  const text = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  for (const what of ['thrown in a timer', 'held by nobody', 'Node warns'])
    assert.ok(text.includes(what), what);
  assert.ok(text.split('\n').length < 30, 'a loop of errors does not fill the log');
});
