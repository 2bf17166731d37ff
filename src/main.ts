#!/usr/bin/env node
// main: volantd. Reads the settings, builds the parts, joins them and handles signals. The only file
// that knows every room, and the only one that ends the process.

import { mkdirSync } from 'node:fs';
import { warningsOf } from './check.ts';
import { answerWithoutDaemon, parseArguments, REFUSED } from './command.ts';
import { type Config, ConfigError, LIMITS, loadConfig } from './config.ts';
import { createEngine, type EngineControl } from './engine/engine.ts';
import type { HostPort } from './engine/ports.ts';
import type { StorePort } from './engine/store-ports.ts';
import { checkGuards } from './http/guards.ts';
import { type HttpServer, startHttpServer } from './http/server.ts';
import { createHypervisor } from './hypervisor/driver.ts';
import { systemClock } from './lib/clock.ts';
import { within } from './lib/deadline.ts';
import { createLog, type Logger } from './lib/log.ts';
import { monitorLoop } from './lib/loop-monitor.ts';
import { type Supervision, watchSupervision } from './lib/supervision.ts';
import { VERSION } from './lib/version.ts';
import { buildOpenApi } from './schema/openapi.ts';
import { openStore } from './store/store.ts';
import { requireIsolation } from './workers/isolation.ts';
import { acquireLock, HomeInUse, type Lock } from './workers/lock.ts';
import { createHost } from './workers/pool.ts';

interface Daemon {
  readonly config: Config;
  readonly log: Logger;
  readonly flush: () => void;
  readonly lock: Lock;
  readonly store: StorePort;
  readonly host: HostPort;
  readonly control: EngineControl;
}

/** Everything but the HTTP server. Throws with a message for a person when something is in the way. */
async function build(settings: Config): Promise<Daemon> {
  for (const directory of [settings.home, settings.runtimeDirectory, settings.logDirectory]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }
  const lock = acquireLock(settings.home);
  const { log, flush } = createLog({
    level: settings.logLevel,
    file: settings.logFile,
    fileBytesMax: LIMITS.daemonLogBytesMax,
  });
  const clock = systemClock;
  const store = openStore(settings.statePath, log);
  const config = { ...settings, hostTag: await store.hostTag(settings.hostTag) };
  const host = createHost(config, log);
  const hypervisor = createHypervisor(log);
  const control = createEngine({ config, store, host, hypervisor, clock, log });
  return { config, log, flush, lock, store, host, control };
}

async function serve(daemon: Daemon, given: Supervision): Promise<void> {
  const { config, log, control } = daemon;
  const supervisor = watchSupervision(given);
  for (const warning of warningsOf(config)) log.warn({}, warning);
  if (given.last_exit !== null) {
    const { restarts, last_exit: lastExit } = given;
    log.warn(
      { restarts, lastExit },
      'the daemon before this one died; its supervisor started this',
    );
  }
  await control.prepare();
  const openapi = buildOpenApi({ version: VERSION });
  const server = await startHttpServer({
    engine: control.engine,
    config,
    log,
    openapi,
    supervisor,
  });
  const { listen } = config;
  const address = listen.kind === 'unix' ? listen.path : `${listen.host}:${server.port}`;
  const scheme = config.tls === null ? 'http' : 'https';
  log.info(
    { version: VERSION, scheme, address, home: config.home, pid: process.pid },
    'volantd serves',
  );
  const endMonitor = monitorLoop(log, LIMITS.loopStallMs, () => process.memoryUsage());
  handleSignals(daemon, server, endMonitor);
  // The API answers meanwhile; an operation on a VM waits until that VM was looked at.
  await control.recover();
}

function handleSignals(daemon: Daemon, server: HttpServer, endMonitor: () => void): void {
  let ending = false;
  const onSignal = (signal: string) => {
    if (ending) {
      daemon.log.warn({ signal }, 'second signal, ending at once');
      finish(daemon, 1);
    }
    ending = true;
    daemon.log.info({ signal }, 'draining; VMs run on');
    const drained = async () => {
      await server.drain(LIMITS.drainTimeoutMs);
      await within(daemon.control.shutdown(), LIMITS.drainTimeoutMs);
      endMonitor();
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

async function close(daemon: Daemon): Promise<void> {
  await daemon.host.close();
  await daemon.store.close();
  daemon.lock.release();
}

async function teardown(daemon: Daemon): Promise<void> {
  await daemon.control.teardown();
  await daemon.control.shutdown();
  await close(daemon);
  finish(daemon, 0);
}

/** A bug: what is on disk and in the kernel is consistent at any point, so ending is the safe answer. */
function fail(daemon: Daemon, error: unknown): never {
  daemon.log.error({ err: error }, 'volantd cannot go on');
  return finish(daemon, 1);
}

function finish(daemon: Daemon, status: number): never {
  daemon.flush();
  process.exit(status);
}

/** For what goes wrong before there is a log. */
function refuse(message: string, status: number): never {
  process.stderr.write(message);
  process.exit(status);
}

async function start(args: readonly string[]): Promise<void> {
  const parsed = parseArguments(args);
  const answer = answerWithoutDaemon(parsed, process.env);
  if (parsed === null || answer !== null) {
    process.stdout.write(answer?.stdout ?? '');
    refuse(answer?.stderr ?? '', answer?.status ?? REFUSED);
  }
  const { task, supervision } = parsed;
  let daemon: Daemon;
  try {
    const config = loadConfig(process.env);
    if (task === 'serve') await checkGuards(config);
    daemon = await build(config);
    if (task === 'serve') requireIsolation(daemon.config);
  } catch (error) {
    if (error instanceof ConfigError) refuse(`${error.problems.join('\n')}\n`, REFUSED);
    const status = error instanceof HomeInUse ? REFUSED : 1;
    refuse(`volantd cannot start: ${error instanceof Error ? error.message : error}\n`, status);
  }
  process.on('uncaughtException', (error) => fail(daemon, error));
  process.on('unhandledRejection', (error) => fail(daemon, error));
  const life = task === 'teardown' ? teardown(daemon) : serve(daemon, supervision);
  life.catch((error: unknown) => fail(daemon, error));
}

await start(process.argv.slice(2));
