// scripts: starts the daemon, and restarts it with backoff when it dies. `npm run up` starts this program if there is no
// systemd. SIGTERM ends the daemon and then this program.

import { spawn } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, runMain } from './lib/command.mjs';
import { homeDirectory } from './lib/paths.mjs';
import { daemonFiles, ENTRY, holderOf } from './lib/service/daemon.mjs';
import { describeEnd, FINAL_STATUSES, nextPauseMs } from './lib/service/restarts.mjs';

/** The daemon drains for up to 20 s and closes for up to 20 s; after this time it hangs. */
const KILL_AFTER_MS = 60_000;
const OUTPUT_BYTES_MAX = 1024 * 1024;

/** Holds a file open that identifies the supervisor of this home directory. Returns the function that releases it. */
function takeLock(file) {
  for (;;) {
    try {
      const fd = openSync(file, 'wx', 0o600);
      writeSync(fd, `${process.pid}\n`);
      return () => {
        rmSync(file, { force: true });
        closeSync(fd);
      };
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      const holder = holderOf(file);
      if (holder !== null) throw new Failure(`A supervisor runs already, pid ${holder}.`);
      // Left behind by a supervisor that was killed.
      rmSync(file, { force: true });
    }
  }
}

function tell(text) {
  process.stdout.write(`${new Date().toISOString()} supervisor: ${text}\n`);
}

/** The daemon's output goes to the same file as this program's, which must not grow without bound. */
function boundOutput() {
  const { size } = fstatSync(1);
  if (fstatSync(1).isFile() && size > OUTPUT_BYTES_MAX) ftruncateSync(1, 0);
}

/**
 * Makes the kernel prefer other processes when memory is short. If this is not permitted, it may kill this process, too.
 */
function shieldFromOom() {
  try {
    writeFileSync('/proc/self/oom_score_adj', '-900');
  } catch (error) {
    tell(`not protected from the OOM killer: ${error.code}`);
  }
}

/** Aborted by the first signal: ends the supervision and any pause. */
const ending = new AbortController();
let child = null;

function onSignal(signal) {
  ending.abort();
  if (child === null) return;
  tell(`${signal}: ending the daemon`);
  // A second signal is passed on, too: it makes the daemon end at once.
  child.kill('SIGTERM');
  setTimeout(() => child?.kill('SIGKILL'), KILL_AFTER_MS).unref();
}

/** Runs the daemon once. Resolves with { status, signal, livedMs }. */
function runDaemon({ restarts, lastEnd }) {
  const startedMs = performance.now();
  const endArgs = lastEnd === null ? [] : ['--last-exit', describeEnd(lastEnd)];
  const args = [ENTRY, '--supervisor', 'volant', '--restarts', String(restarts), ...endArgs];
  return new Promise((resolve) => {
    const end = (status, signal) => {
      child = null;
      resolve({ status, signal, livedMs: performance.now() - startedMs });
    };
    child = spawn(process.execPath, args, { cwd: '/', stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('exit', end);
    child.once('error', (error) => {
      tell(`the daemon cannot be started: ${error.message}`);
      end(1, null);
    });
  });
}

/** Resolves with the exit status of the supervisor. */
async function supervise() {
  let restarts = 0;
  let pauseMs = null;
  let lastEnd = null;
  for (;;) {
    boundOutput();
    const end = await runDaemon({ restarts, lastEnd });
    const text = `the daemon ended with ${describeEnd(end)}`;
    // The parent stops waiting for the first answer of the API.
    if (process.connected) process.send({ ended: describeEnd(end) });
    if (ending.signal.aborted || FINAL_STATUSES.includes(end.status)) {
      tell(text);
      return end.status ?? 1;
    }
    lastEnd = end;
    restarts += 1;
    pauseMs = nextPauseMs(pauseMs, end.livedMs);
    tell(`${text}; restart ${restarts} follows in ${pauseMs / 1000} s`);
    await sleep(pauseMs, undefined, { signal: ending.signal }).catch((error) => {
      if (error.name !== 'AbortError') throw error;
    });
    if (ending.signal.aborted) return 0;
  }
}

await runMain(async () => {
  const release = takeLock(daemonFiles(homeDirectory()).supervisorLock);
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  // The terminal in which it was started may close.
  process.on('SIGHUP', () => undefined);
  shieldFromOom();
  try {
    process.exitCode = await supervise();
  } finally {
    release();
    if (process.connected) process.disconnect();
  }
});
