// scripts: starts the daemon in the background with a supervisor that restarts it, and ends both. The supervisor is a
// systemd unit that lasts until the host's next start, or scripts/supervise.mjs if systemd does not run.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../command.mjs';
import { PROJECT_ROOT } from '../paths.mjs';
import { answers, daemonFiles, findDaemon, holderOf, untilEnded } from './daemon.mjs';
import { describeEnd } from './restarts.mjs';
import {
  environmentText,
  removeUnit,
  systemctl,
  systemdRuns,
  UNIT_DIRECTORIES,
  unitText,
  writeUnit,
} from './systemd.mjs';

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 70_000;
const LOOK_EVERY_MS = 50;
const LOG_LINES_SHOWN = 15;

/** Environment variables that are passed to a daemon that systemd starts. */
const PASSED_ON = /^(VOLANT_\w+|NODE_\w+|PATH|HOME|SSL_CERT_\w+|\w+_proxy)$/i;

/** The environment of a daemon that `up` starts. */
export function daemonEnvironment(home) {
  return { ...process.env, VOLANT_HOME: home, VOLANT_LOG_FILE: daemonFiles(home).log };
}

/** The unit of the daemon of a home directory, if systemd runs. */
function unitOf(home) {
  const tag = createHash('sha256').update(home).digest('hex').slice(0, 8);
  const unit = `volantd-up-${tag}.service`;
  return {
    unit,
    environmentFile: join(home, 'volantd-up.env'),
    exists: existsSync(join(UNIT_DIRECTORIES.transient, unit)),
  };
}

/** Starts the daemon. Resolves with its pid when its API answers. Leaves nothing behind if it does not. */
export async function startDaemon(home) {
  const { startLog } = daemonFiles(home);
  mkdirSync(join(home, 'logs'), { recursive: true, mode: 0o700 });
  writeFileSync(startLog, '', { mode: 0o600 });
  const start = systemdRuns() ? await startUnit(home) : startSupervisor(home);
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  try {
    while (performance.now() < deadlineMs) {
      const problem = await start.problem();
      if (problem !== null) throw didNotStart(home, problem);
      const daemon = (await answers()) ? findDaemon(home) : null;
      if (daemon !== null) return daemon.pid;
      await sleep(LOOK_EVERY_MS);
    }
    throw didNotStart(home, `no answer within ${START_TIMEOUT_MS / 1000} s`);
  } catch (error) {
    await stopDaemon(home);
    throw error;
  } finally {
    start.release();
  }
}

function didNotStart(home, why) {
  const { startLog, log } = daemonFiles(home);
  return new Failure(`The daemon did not start: ${why}.\n${lastLines(startLog, log)}`);
}

/** `problem` reports the first death: a daemon that dies before it answers is not waited for. */
function startSupervisor(home) {
  const output = openSync(daemonFiles(home).startLog, 'a', 0o600);
  const child = spawn(process.execPath, [join(PROJECT_ROOT, 'scripts/supervise.mjs')], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', output, output, 'ipc'],
    env: daemonEnvironment(home),
  });
  closeSync(output);
  let problem = null;
  child.once('message', ({ ended }) => {
    problem ??= `it ended with ${ended}`;
  });
  child.once('error', (error) => {
    problem ??= error.message;
  });
  child.once('exit', (status, signal) => {
    problem ??= `its supervisor ended with ${describeEnd({ status, signal })}`;
  });
  return {
    problem: async () => problem,
    release: () => {
      if (child.connected) child.disconnect();
      child.unref();
    },
  };
}

async function startUnit(home) {
  const { unit, environmentFile } = unitOf(home);
  const passedOn = Object.entries(daemonEnvironment(home)).filter(([name]) => PASSED_ON.test(name));
  writeFileSync(environmentFile, environmentText(Object.fromEntries(passedOn)), { mode: 0o600 });
  const text = unitText({
    unit,
    description: `Volant for ${home}, started by hand`,
    home,
    environmentFile,
    outputFile: daemonFiles(home).startLog,
  });
  writeUnit(UNIT_DIRECTORIES.transient, unit, text);
  await systemctl('daemon-reload');
  await systemctl('start', unit);
  return { problem: () => problemOfUnit(unit), release: () => undefined };
}

/** null while the first process of the unit is alive. */
export async function problemOfUnit(unit) {
  const output = await systemctl('show', '--property=ActiveState,NRestarts,ExecMainStatus', unit);
  const facts = Object.fromEntries(
    output
      .trim()
      .split('\n')
      .map((line) => line.split('=')),
  );
  if (facts.ActiveState === 'active' && !(Number(facts.NRestarts) > 0)) return null;
  if (facts.ActiveState === 'activating' && !(Number(facts.NRestarts) > 0)) return null;
  return `${unit} is ${facts.ActiveState}, status ${facts.ExecMainStatus}`;
}

function lastLines(...files) {
  const shown = files.filter((file) => existsSync(file) && statSync(file).size > 0);
  return shown
    .map((file) => {
      const lines = readFileSync(file, 'utf8').trimEnd().split('\n').slice(-LOG_LINES_SHOWN);
      return `${file}:\n  ${lines.join('\n  ')}`;
    })
    .join('\n');
}

/**
 * Ends the daemon of a home directory and its supervisor; VMs continue to run. Resolves with { pid, unit } of what was
 * ended, or null if there was nothing.
 */
export async function stopDaemon(home) {
  const daemon = findDaemon(home);
  const pid = daemon?.pid ?? null;
  const own = unitOf(home);
  const supervisorPid = holderOf(daemonFiles(home).supervisorLock);
  if (own.exists) {
    await removeUnit(UNIT_DIRECTORIES.transient, own.unit);
    rmSync(own.environmentFile, { force: true });
  } else if (daemon?.supervisor.kind === 'systemd') {
    await systemctl('stop', daemon.supervisor.unit);
  }
  if (supervisorPid !== null) await endSupervisor(home, supervisorPid);
  // A daemon without a supervisor, or whose supervisor was killed.
  if (pid !== null) {
    if (findDaemon(home)?.pid === pid) terminate(pid);
    await untilEnded(home, pid);
  }
  if (pid === null && supervisorPid === null && !own.exists) return null;
  return { pid, unit: own.exists ? null : (daemon?.supervisor.unit ?? null) };
}

function terminate(pid) {
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    // It has ended in the meantime.
    if (error.code !== 'ESRCH') throw error;
  }
}

async function endSupervisor(home, pid) {
  const { supervisorLock, startLog } = daemonFiles(home);
  terminate(pid);
  const deadlineMs = performance.now() + STOP_TIMEOUT_MS;
  while (holderOf(supervisorLock) === pid) {
    if (performance.now() > deadlineMs) {
      throw new Failure(
        `The supervisor (pid ${pid}) did not end within ${STOP_TIMEOUT_MS / 1000} s: look at ${startLog}.`,
      );
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/** True for a daemon whose supervisor is gone, so that nothing would restart it. */
export function isOrphaned(home, daemon) {
  return daemon.supervisor.kind === 'volant' && holderOf(daemonFiles(home).supervisorLock) === null;
}

/** Ends a daemon and starts it again, by its own unit if an administrator has installed one. */
export async function replaceDaemon(home, daemon) {
  if (daemon.supervisor.kind === 'systemd' && !unitOf(home).exists)
    return restartUnit(home, daemon);
  await stopDaemon(home);
  return startDaemon(home);
}

async function restartUnit(home, { pid, supervisor: { unit } }) {
  await systemctl('restart', unit);
  await untilEnded(home, pid);
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const daemon = (await answers()) ? findDaemon(home) : null;
    if (daemon !== null) return daemon.pid;
    if (performance.now() > deadlineMs) {
      throw new Failure(`${unit} does not answer: \`journalctl --unit ${unit}\` says more.`);
    }
    await sleep(LOOK_EVERY_MS);
  }
}
