// daemon: the life of volantd: reads the settings, builds and joins the parts, handles signals. It is the only file
// that knows every part, and the only one that ends the process.

import { resolve } from 'node:path';
import { warningsOf } from './check.ts';
import { answerWithoutDaemon, parseArguments, REFUSED } from './command.ts';
import { LIMITS } from './config/limits.ts';
import { type Config, ConfigError, loadConfig } from './config.ts';
import { createEngine, type EngineControl } from './engine/engine.ts';
import type { StorePort } from './engine/ports/store-ports.ts';
import { openHome, restoreHome } from './home/home.ts';
import { RecordsCheck } from './home/records-check.ts';
import { createHost, type Host } from './host/host.ts';
import { native } from './host/jobs/native.ts';
import { protectFromOom } from './host/jobs/process/oom.ts';
import { keepRealTime, type RealTime } from './host/real-time.ts';
import type { Locks } from './host/start/directories.ts';
import { removeHomeFile } from './host/start/home-file.ts';
import { requireIsolation } from './host/start/isolation.ts';
import { checkGuards } from './http/access/guards.ts';
import { CONNECTION_LIMITS, type HttpServer, startHttpServer } from './http/server.ts';
import { createHypervisor } from './hypervisor/port.ts';
import { systemClock } from './lib/clock.ts';
import { within } from './lib/deadline.ts';
import { budgetOf, descriptorLimit } from './lib/descriptors.ts';
import { programFile } from './lib/files/own-files.ts';
import type { Logger, OpenLog } from './lib/log/log.ts';
import { type LoopMonitor, monitorLoop } from './lib/log/loop-monitor.ts';
import { logUncaughtErrors } from './lib/log/uncaught-errors.ts';
import { putMainThreadFirst, putSessionFirst } from './lib/priority.ts';
import { StartRefused } from './lib/refusal.ts';
import { type Supervision, watchSupervision } from './lib/supervision.ts';
import { VERSION } from './lib/version.ts';
import { buildOpenApi } from './schema/openapi/openapi.ts';
import { startThreads } from './workers/pool.ts';

interface Daemon {
  readonly config: Config;
  readonly log: Logger;
  readonly openLog: OpenLog;
  readonly locks: Locks;
  readonly store: StorePort;
  readonly recordsCheck: RecordsCheck;
  readonly host: Host;
  readonly control: EngineControl;
  readonly monitor: LoopMonitor;
}

/** Builds all parts except the HTTP server. Throws with a message for a person. */
async function build(settings: Config, adoptOrphans: boolean): Promise<Daemon> {
  const { config, store, locks, openLog } = await openHome(settings, adoptOrphans);
  const { log } = openLog;
  const priorities = putMainThreadFirst();
  if (priorities.isMainFirst) putSessionFirst(priorities.others);
  else log.info({}, 'the main thread waits for processors like all others');
  const host = createHost(config, log, startThreads, priorities);
  const hypervisor = createHypervisor({ log, tunnelsMax: config.guestConnectionsMax });
  const clock = systemClock;
  const monitor = monitorLoop(log, LIMITS.loopStallMs, () => process.memoryUsage());
  const stalledMs = () => monitor.longestMs();
  const recordsCheck = new RecordsCheck(log);
  const control = createEngine({
    config,
    store,
    host,
    hypervisor,
    limits: LIMITS,
    clock,
    log,
    stalledMs,
    loop: monitor,
    areRecordsDamaged: () => recordsCheck.isDamaged,
  });
  return { config, log, openLog, locks, store, recordsCheck, host, control, monitor };
}

async function serve(daemon: Daemon, given: Supervision): Promise<void> {
  const { config, log, control } = daemon;
  const supervisor = watchSupervision(given);
  for (const warning of warningsOf(config)) log.warn({}, warning);
  if (!protectFromOom()) log.info({}, 'this process is not protected from the OOM killer');
  if (given.last_exit !== null) {
    const { restarts, last_exit: lastExit } = given;
    log.warn(
      { restarts, lastExit },
      'the previous daemon died and was restarted by its supervisor',
    );
  }
  await control.prepare();
  const openapi = buildOpenApi({ version: VERSION });
  const budget = budgetOf(descriptorLimit(), LIMITS.descriptorsReserved, CONNECTION_LIMITS);
  const server = await startHttpServer({
    engine: control.engine,
    config,
    log,
    openapi,
    uiDirectory: programFile('ui'),
    supervisor,
    budget,
    listenControl: native,
  });
  const { listen } = config;
  const address = listen.kind === 'unix' ? listen.path : `${listen.host}:${server.port}`;
  const scheme = config.tls === null ? 'http' : 'https';
  log.info(
    { version: VERSION, scheme, address, home: config.home, pid: process.pid, ...budget },
    'volantd serves',
  );
  handleSignals(daemon, server, keepRealTime(log));
  // The API answers meanwhile. An operation on a VM waits until that VM was checked.
  await control.recover();
  daemon.recordsCheck.begin(config.statePath);
}

function handleSignals(daemon: Daemon, server: HttpServer, realTime: RealTime): void {
  let ending = false;
  const onSignal = (signal: string) => {
    if (ending) {
      daemon.log.warn({ signal }, 'second signal, ending at once');
      return finish(daemon, 1);
    }
    ending = true;
    daemon.log.info({ signal }, 'draining; VMs keep running');
    // Each step has a deadline of its own; this is for one that exceeds it. The status is still 0: the next daemon
    // completes whatever is half-done.
    setTimeout(() => {
      daemon.log.warn(
        { afterMs: LIMITS.endTimeoutMs },
        'the shutdown exceeds its deadline, ending at once',
      );
      finish(daemon, 0);
    }, LIMITS.endTimeoutMs);
    const drained = async () => {
      await server.drain(LIMITS.drainTimeoutMs);
      await within(daemon.control.shutdown(), LIMITS.drainTimeoutMs);
      daemon.monitor.end();
      realTime.end();
      server.close();
      await close(daemon);
      daemon.log.info({}, 'volantd ends');
      finish(daemon, 0);
    };
    drained().catch((error: unknown) => fail(daemon, error));
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

/**
 * SIGHUP is sent by programs that rotate logs, and when a terminal closes. It reopens only the log: the files of keys
 * and certificates are watched.
 */
function reopenLogOnHangUp({ log, openLog }: Daemon): void {
  process.on('SIGHUP', () => {
    openLog.reopen();
    log.info({}, 'SIGHUP: the log was reopened; keys and certificates are watched');
  });
}

async function close(daemon: Daemon): Promise<void> {
  daemon.recordsCheck.close();
  await daemon.host.close();
  const written = await within(
    daemon.store.close().then(() => true),
    LIMITS.storeEndMs,
  );
  if (written === undefined)
    daemon.log.warn({}, 'the records were not written before the deadline');
  daemon.locks.release();
}

async function teardown(daemon: Daemon): Promise<void> {
  await daemon.control.teardown();
  await daemon.control.shutdown();
  removeHomeFile(daemon.config.runtimeDirectory);
  await close(daemon);
  finish(daemon, 0);
}

/** A start or an end that failed. What is on disk and in the kernel is consistent at any point. */
function fail(daemon: Daemon, error: unknown): void {
  daemon.log.error({ err: error }, 'volantd cannot continue');
  finish(daemon, 1);
}

/** Not by process.exit, which waits for every thread: a thread that the kernel holds would keep the process alive. */
function finish(daemon: Daemon, status: number): void {
  void daemon.openLog.flush(LIMITS.daemonLogEndMs).then(() => native.endProcess(status));
}

/** Reports an error before there is a log, and exits. */
function refuse(message: string, status: number): never {
  process.stderr.write(message);
  process.exit(status);
}

/** Loads the settings. Throws StartRefused when the working directory, to which relative paths refer, was deleted. */
function loadSettings(): Config {
  try {
    process.cwd();
  } catch (error) {
    const remedy = 'start volantd in a directory that exists';
    throw new StartRefused(`the working directory was deleted: ${remedy}`, { cause: error });
  }
  return loadConfig(process.env);
}

async function restore(settings: Config, file: string): Promise<never> {
  const done = await restoreHome(settings, resolve(file));
  process.stdout.write(`${done.join('\n')}\n`);
  process.exit(0);
}

/** Runs the command line. Ends the process, or resolves while the daemon keeps running. */
export async function start(args: readonly string[]): Promise<void> {
  const parsed = parseArguments(args);
  const answer = answerWithoutDaemon(parsed, process.env);
  if (parsed === null || answer !== null) {
    process.stdout.write(answer?.stdout ?? '');
    refuse(answer?.stderr ?? '', answer?.status ?? REFUSED);
  }
  const { task, supervision } = parsed;
  let daemon: Daemon;
  try {
    const config = loadSettings();
    if (parsed.file !== null) await restore(config, parsed.file);
    // Another working directory could be deleted later, and then no process could be started.
    process.chdir('/');
    if (task === 'serve') await checkGuards(config);
    daemon = await build(config, parsed.adoptOrphans);
    if (task === 'serve') requireIsolation(daemon.config);
  } catch (error) {
    if (error instanceof ConfigError) refuse(`${error.problems.join('\n')}\n`, REFUSED);
    const status = error instanceof StartRefused ? REFUSED : 1;
    const what = task === 'restore' ? 'restore' : 'start';
    refuse(`volantd cannot ${what}: ${error instanceof Error ? error.message : error}\n`, status);
  }
  logUncaughtErrors(daemon.log);
  reopenLogOnHangUp(daemon);
  const life = task === 'teardown' ? teardown(daemon) : serve(daemon, supervision);
  life.catch((error: unknown) => fail(daemon, error));
}
