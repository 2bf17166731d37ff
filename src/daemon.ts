// daemon: the life of volantd. Reads the settings, builds the parts, joins them and handles signals. The only file
// that knows every room, and the only one that ends the process.

import { resolve } from 'node:path';
import { warningsOf } from './check.ts';
import { answerWithoutDaemon, parseArguments, REFUSED } from './command.ts';
import { type Config, ConfigError, LIMITS, loadConfig } from './config.ts';
import { createEngine, type EngineControl } from './engine/engine.ts';
import type { HostPort } from './engine/ports.ts';
import type { StorePort } from './engine/store-ports.ts';
import { openHome, restoreHome } from './home/home.ts';
import { checkGuards } from './http/guards.ts';
import { type HttpServer, MOST_CONNECTIONS, startHttpServer } from './http/server.ts';
import { createHypervisor } from './hypervisor/driver.ts';
import { systemClock } from './lib/clock.ts';
import { within } from './lib/deadline.ts';
import { budgetOf, descriptorLimit } from './lib/descriptors.ts';
import { surviveErrors } from './lib/last-resort.ts';
import type { Logger, OpenLog } from './lib/log.ts';
import { type LoopMonitor, monitorLoop } from './lib/loop-monitor.ts';
import { StartRefused } from './lib/refusal.ts';
import { type Supervision, watchSupervision } from './lib/supervision.ts';
import { VERSION } from './lib/version.ts';
import { buildOpenApi } from './schema/openapi.ts';
import type { Locks } from './workers/directories.ts';
import { removeHomeNote } from './workers/home-note.ts';
import { requireIsolation } from './workers/isolation.ts';
import { shieldFromOom } from './workers/jobs/oom.ts';
import { native } from './workers/native.ts';
import { createHost } from './workers/pool.ts';

interface Daemon {
  readonly config: Config;
  readonly log: Logger;
  readonly openLog: OpenLog;
  readonly locks: Locks;
  readonly store: StorePort;
  readonly host: HostPort;
  readonly control: EngineControl;
  readonly monitor: LoopMonitor;
}

/** Everything but the HTTP server. Throws with a message for a person when something is in the way. */
async function build(settings: Config, adoptOrphans: boolean): Promise<Daemon> {
  const { config, store, locks, openLog } = await openHome(settings, adoptOrphans);
  const { log } = openLog;
  const host = createHost(config, log);
  const hypervisor = createHypervisor(log, config.guestConnectionsMax);
  const clock = systemClock;
  const monitor = monitorLoop(log, LIMITS.loopStallMs, () => process.memoryUsage());
  const stalledMs = () => monitor.longestMs();
  const control = createEngine({ config, store, host, hypervisor, clock, log, stalledMs });
  return { config, log, openLog, locks, store, host, control, monitor };
}

async function serve(daemon: Daemon, given: Supervision): Promise<void> {
  const { config, log, control } = daemon;
  const supervisor = watchSupervision(given);
  for (const warning of warningsOf(config)) log.warn({}, warning);
  if (!shieldFromOom())
    log.info({}, 'where memory is wanting the kernel may take this process first');
  if (given.last_exit !== null) {
    const { restarts, last_exit: lastExit } = given;
    log.warn(
      { restarts, lastExit },
      'the daemon before this one died; its supervisor started this',
    );
  }
  await control.prepare();
  const openapi = buildOpenApi({ version: VERSION });
  const budget = budgetOf(descriptorLimit(), LIMITS.descriptorsReserved, MOST_CONNECTIONS);
  const server = await startHttpServer({
    engine: control.engine,
    config,
    log,
    openapi,
    supervisor,
    budget,
  });
  const { listen } = config;
  const address = listen.kind === 'unix' ? listen.path : `${listen.host}:${server.port}`;
  const scheme = config.tls === null ? 'http' : 'https';
  log.info(
    { version: VERSION, scheme, address, home: config.home, pid: process.pid, ...budget },
    'volantd serves',
  );
  handleSignals(daemon, server);
  // The API answers meanwhile; an operation on a VM waits until that VM was looked at.
  await control.recover();
}

function handleSignals(daemon: Daemon, server: HttpServer): void {
  let ending = false;
  const onSignal = (signal: string) => {
    if (ending) {
      daemon.log.warn({ signal }, 'second signal, ending at once');
      return finish(daemon, 1);
    }
    ending = true;
    daemon.log.info({ signal }, 'draining; VMs run on');
    // Each step has a bound of its own; this is for one that breaks it. It ends as asked all the same: nothing is
    // left half-done that the next daemon would not bring to its end.
    setTimeout(() => {
      daemon.log.warn({ afterMs: LIMITS.endTimeoutMs }, 'the end takes too long, ending at once');
      finish(daemon, 0);
    }, LIMITS.endTimeoutMs);
    const drained = async () => {
      await server.drain(LIMITS.drainTimeoutMs);
      await within(daemon.control.shutdown(), LIMITS.drainTimeoutMs);
      daemon.monitor.end();
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

/** Sent by programs that rotate logs, and by a terminal that is closed. Files of keys and certificates are watched. */
function reopenLogOnHangUp({ log, openLog }: Daemon): void {
  process.on('SIGHUP', () => {
    openLog.reopen();
    log.info({}, 'SIGHUP: the log is opened again; keys and certificates are watched');
  });
}

async function close(daemon: Daemon): Promise<void> {
  await daemon.host.close();
  const written = await within(
    daemon.store.close().then(() => true),
    LIMITS.storeEndMs,
  );
  if (written === undefined) daemon.log.warn({}, 'the disk of the records does not come back');
  daemon.locks.release();
}

async function teardown(daemon: Daemon): Promise<void> {
  await daemon.control.teardown();
  await daemon.control.shutdown();
  removeHomeNote(daemon.config.runtimeDirectory);
  await close(daemon);
  finish(daemon, 0);
}

/** A start or an end that cannot be carried out: what is on disk and in the kernel is consistent at any point. */
function fail(daemon: Daemon, error: unknown): void {
  daemon.log.error({ err: error }, 'volantd cannot go on');
  finish(daemon, 1);
}

/** Not by process.exit: that waits for every thread, and one that the kernel holds would keep the process. */
function finish(daemon: Daemon, status: number): void {
  void daemon.openLog.flush(LIMITS.daemonLogEndMs).then(() => native.endProcess(status));
}

/** For what goes wrong before there is a log. */
function refuse(message: string, status: number): never {
  process.stderr.write(message);
  process.exit(status);
}

/** A working directory may be deleted while the daemon runs, and then nothing can be started: it has none of its own. */
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

/** Carries out what the command line asks for. Ends the process; resolves when the daemon lives on. */
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
  surviveErrors(daemon.log);
  reopenLogOnHangUp(daemon);
  const life = task === 'teardown' ? teardown(daemon) : serve(daemon, supervision);
  life.catch((error: unknown) => fail(daemon, error));
}
