// scripts: starts the daemon, and starts it again when it died, after pauses that grow. `npm run up` starts
// this program where there is no systemd; SIGTERM ends the daemon and then this program.

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
import { daemonFiles, ENTRY, holderOf } from './lib/daemon.mjs';
import { homeDirectory } from './lib/paths.mjs';
import { describeEnd, FINAL_STATUSES, nextPauseMs } from './lib/restarts.mjs';

/** The daemon drains for 20 s and closes for as long; then it hangs. */
const KILL_AFTER_MS = 60_000;
const OUTPUT_BYTES_MAX = 1024 * 1024;

/** Holds the file open that proves who supervises this home. Returns what gives it back. */
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
      // Left behind by one that was killed.
      rmSync(file, { force: true });
    }
  }
}

function tell(text) {
  process.stdout.write(`${new Date().toISOString()} supervisor: ${text}\n`);
}

/** The daemon's words go to the same file as ours, which must not grow without bound. */
function boundOutput() {
  const { size } = fstatSync(1);
  if (fstatSync(1).isFile() && size > OUTPUT_BYTES_MAX) ftruncateSync(1, 0);
}

/** The kernel takes others first when memory is wanting. Where that is not allowed it may take this process, too. */
function shieldFromOom() {
  try {
    writeFileSync('/proc/self/oom_score_adj', '-900');
  } catch (error) {
    tell(`not shielded when memory is wanting: ${error.code}`);
  }
}

/** The end of the supervision: set by the first signal, wakes whoever waits. */
const ending = new AbortController();
let child = null;

function onSignal(signal) {
  ending.abort();
  if (child === null) return;
  tell(`${signal}: ending the daemon`);
  // A second signal is passed on as well: it makes the daemon end at once.
  child.kill('SIGTERM');
  setTimeout(() => child?.kill('SIGKILL'), KILL_AFTER_MS).unref();
}

/** Runs the daemon once. Resolves with { status, signal, livedMs }. */
function runDaemon({ restarts, lastEnd }) {
  const startedMs = performance.now();
  const told = lastEnd === null ? [] : ['--last-exit', describeEnd(lastEnd)];
  const args = [ENTRY, '--supervisor', 'volant', '--restarts', String(restarts), ...told];
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
    // Whoever waits for the first answer of the API need not wait any longer.
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
  // The terminal that it was started from may close.
  process.on('SIGHUP', () => undefined);
  shieldFromOom();
  try {
    process.exitCode = await supervise();
  } finally {
    release();
    if (process.connected) process.disconnect();
  }
});
