// engine: the parts of the engine, joined. http sees the Engine; main.ts besides has the engine's life:
// recover at the start, shut down at the end, tear down when the host is to be left clean.

import { join } from 'node:path';
import { type Config, LIMITS } from '../config.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { AddressPool } from './addresses.ts';
import { builtinPlugins } from './builtin-plugins.ts';
import type { Engine } from './engine-api.ts';
import { EventLog } from './events.ts';
import { HostFacts } from './host-facts.ts';
import { Launcher } from './launcher.ts';
import { Operations } from './operations.ts';
import { Plugins } from './plugins.ts';
import type { HostPort, HypervisorPort, StorePort } from './ports.ts';
import { ReadModel } from './read-model.ts';
import { recover } from './recovery.ts';
import { State } from './state.ts';
import { System } from './system.ts';
import { VmLifecycle } from './vm-lifecycle.ts';

export interface EngineParts {
  readonly config: Config;
  readonly store: StorePort;
  readonly host: HostPort;
  readonly hypervisor: HypervisorPort;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The engine with its life, for main.ts. */
export interface EngineControl {
  readonly engine: Engine;
  /** Before anything is served: installs the built-in plugins at the very first start. */
  prepare(): Promise<void>;
  /** Makes records and host agree, while the API answers already. */
  recover(): Promise<void>;
  /** Ends what was begun, begins nothing new, and lets go of the hypervisors, which run on. */
  shutdown(): Promise<void>;
  /** Deletes every VM and everything that the daemon made in the kernel. */
  teardown(): Promise<void>;
}

export function createEngine(parts: EngineParts): EngineControl {
  const { config, store, host, hypervisor, clock, log } = parts;
  const snapshot = store.load();
  const events = new EventLog(store, snapshot.lastSequence, LIMITS.eventRingMax);
  const state = new State(store, new ReadModel(config.runtimeDirectory, snapshot.vms), events);
  const operations = new Operations({
    runningMax: LIMITS.operationsRunningMax,
    waitingMax: LIMITS.operationsWaitingMax,
    perVmMax: LIMITS.operationsPerVmMax,
  });
  const { kvmVerdicts, hostChanges, lastVmId } = snapshot;
  const hostFacts = new HostFacts({ config, host, state, clock, kvmVerdicts, hostChanges });
  const launcher = new Launcher({ config, host, hypervisor, hostFacts, log });
  const plugins = new Plugins(state, clock, snapshot.plugins);
  const addresses = new AddressPool(
    config.subnet,
    config.hostIp,
    LIMITS.addressQuarantineMs,
    snapshot.addresses,
  );
  const lifecycle = new VmLifecycle({
    config,
    state,
    launcher,
    operations,
    addresses,
    clock,
    log,
    lastVmId,
    manifestFor: (request) => plugins.manifestFor(request),
  });
  const system = new System({ config, host, hostFacts, state });
  const trimmer = trimLogs(host, lifecycle, log);

  const prepare = async () => {
    if (snapshot.builtinsInstalled) return;
    for (const manifest of builtinPlugins(join(config.home, 'images'))) {
      await plugins.install(manifest);
    }
    await state.commit([{ table: 'meta', key: 'builtinsInstalled', value: true }], []);
  };
  const recoverAll = async () => {
    const { hostTag } = config;
    const recovery = { state, host, launcher, lifecycle, operations, hostTag, clock, log };
    system.recovery = await recover(recovery);
  };
  return {
    engine: {
      vms: {
        create: (request) => lifecycle.create(request),
        get: (name) => state.vms.body(name),
        list: (query) => state.vms.list(query),
        start: (name) => lifecycle.start(name),
        stop: (name) => lifecycle.stop(name),
        restart: (name) => lifecycle.restart(name),
        destroy: (name) => lifecycle.destroy(name),
      },
      plugins,
      events,
      system,
    },
    prepare,
    recover: recoverAll,
    shutdown: async () => {
      clearInterval(trimmer);
      await operations.close();
      lifecycle.disconnect();
    },
    teardown: async () => {
      await recoverAll();
      await Promise.all(state.vms.records().map(({ name }) => lifecycle.destroy(name)));
      await hostFacts.removeNetwork();
      await host.removeCgroupRoot();
    },
  };
}

/** Looks at the logs of running VMs again and again, one round at a time. */
function trimLogs(host: HostPort, lifecycle: VmLifecycle, log: Logger): NodeJS.Timeout {
  let busy = false;
  const round = async () => {
    if (busy) return;
    busy = true;
    try {
      await host.trimLogs(lifecycle.runningIds());
    } catch (error) {
      log.warn({ err: error }, 'logs could not be trimmed');
    } finally {
      busy = false;
    }
  };
  return setInterval(() => void round(), LIMITS.logTrimIntervalMs).unref();
}
