// engine: the parts of the engine, joined. http sees the Engine; main.ts besides has the engine's life:
// recover at the start, shut down at the end, tear down when the host is to be left clean.

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type Config, LIMITS } from '../config.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { CreateVmRequest } from '../schema/vm.ts';
import { AddressPool } from './addresses.ts';
import { Admission } from './admission.ts';
import { Agents } from './agents.ts';
import { Artifacts } from './artifacts.ts';
import { Boots } from './boots/boots.ts';
import { builtinPlugins } from './builtin-plugins.ts';
import { Configs } from './configs.ts';
import { Consoles } from './consoles.ts';
import { Deployments } from './deployments/deployments.ts';
import { Devices } from './devices/devices.ts';
import type { Engine } from './engine-api.ts';
import { EventLog, type OtherEventType, otherEvent } from './events.ts';
import { Exposures } from './exposures/exposures.ts';
import { HostFacts } from './host-facts.ts';
import { Idempotency } from './idempotency.ts';
import { cgroupNameOf } from './identity.ts';
import { Launcher } from './launcher.ts';
import { DiskGuard } from './media/disk-guard.ts';
import { Media } from './media/media.ts';
import { Operations } from './operations.ts';
import { Plugins } from './plugins.ts';
import type { HostPort, HypervisorPort } from './ports.ts';
import { ReadModel } from './read-model.ts';
import { Readiness } from './readiness.ts';
import { recover } from './recovery.ts';
import { State } from './state.ts';
import type { Snapshot, StorePort } from './store-ports.ts';
import { System } from './system.ts';
import { VmLifecycle } from './vm-lifecycle.ts';
import { VmService } from './vm-service.ts';

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
  const { config, host, clock, log } = parts;
  const snapshot = parts.store.load();
  const joined = joinParts(parts, snapshot);
  const { state, operations, hostFacts, launcher, plugins, lifecycle } = joined;
  const { readiness, deployments } = joined;
  const { boots } = joined;
  const system = new System({ config, host, hostFacts, state, plugins, boots });
  const { hypervisor } = parts;
  const runDirectory = (vmId: number) => launcher.runDirectory(vmId);
  const consoles = new Consoles({ ...joined, host, hypervisor, runDirectory, log });
  const trimmer = trimLogs(host, lifecycle, log);

  const prepare = async () => {
    if (snapshot.builtinsInstalled) return;
    for (const manifest of builtinPlugins(join(config.home, 'images'))) {
      await plugins.install(manifest);
    }
    await state.commit([{ table: 'meta', key: 'builtinsInstalled', value: true }], []);
  };
  /** Rules about guests that ended meanwhile are still in the kernel, those of living ones may be lost. */
  const restoreNetwork = async () => {
    try {
      if (snapshot.vms.some(({ leases }) => leases.tapName !== null))
        await hostFacts.ensureNetwork();
    } catch (error) {
      log.error({ err: error }, "the guests' network could not be restored");
    }
  };
  const resumePorts = async () => {
    try {
      await joined.exposures.resume(snapshot.vms.length > 0);
    } catch (error) {
      log.error({ err: error }, 'host ports could not be restored');
    }
  };
  const recoverVms = async () => {
    const { lastVmId } = snapshot;
    system.recovery = await recover({ ...joined, host, lastVmId, clock, log });
    await joined.devices.sweep((vmId) => state.find(vmId) !== undefined);
    if (snapshot.vms.length > 0) await restoreNetwork();
    await resumePorts();
  };
  return {
    engine: {
      vms: new VmService({ ...joined, log }),
      configs: new Configs({ ...joined, clock }),
      deployments,
      plugins,
      artifacts: new Artifacts(state, clock, snapshot.artifacts),
      agents: new Agents(joined),
      consoles,
      devices: joined.devices,
      idempotency: new Idempotency(state, clock, snapshot.answers),
      events: state.events,
      system,
    },
    prepare,
    recover: async () => {
      await recoverVms();
      deployments.start();
    },
    shutdown: async () => {
      clearInterval(trimmer);
      deployments.stop();
      readiness.close();
      consoles.close();
      joined.devices.close();
      joined.exposures.close();
      joined.boots.close();
      await operations.close();
      lifecycle.disconnect();
    },
    teardown: async () => {
      await recoverVms();
      await deployments.forgetAll();
      await Promise.all(state.vms.records().map(({ name }) => lifecycle.destroy(name)));
      await joined.devices.releaseAll();
      joined.devices.close();
      await hostFacts.removeNetwork();
      await host.removeCgroupRoot();
    },
  };
}

/** The parts, each given what it works with. */
function joinParts(parts: EngineParts, snapshot: Snapshot) {
  const { config, store, host, hypervisor, clock, log } = parts;
  const { kvmVerdicts, hostChanges, lastVmId } = snapshot;
  const events = new EventLog(store, snapshot.lastSequence, LIMITS.eventRingMax);
  const state = new State(store, new ReadModel(config.runtimeDirectory, snapshot.vms), events);
  const operations = new Operations({
    runningMax: LIMITS.operationsRunningMax,
    waitingMax: LIMITS.operationsWaitingMax,
    perVmMax: LIMITS.operationsPerVmMax,
  });
  const hostFacts = new HostFacts({ config, host, state, clock, kvmVerdicts, hostChanges });
  const devices = new Devices({ config, host, state, clock, log }, snapshot.devices);
  const readiness = new Readiness({
    agentOf: (vmId) => lifecycle.runningVm(vmId)?.agent,
    hasBooted: (vmId) => {
      const vm = lifecycle.runningVm(vmId);
      return vm !== undefined && boots.isOver(vm);
    },
    hasHealthCheck: (vmId) => hasHealthCheck(state, vmId),
    log,
  });
  const networkSpec = () => hostFacts.networkSpec;
  const exposures = new Exposures({
    host,
    networkSpec,
    readiness,
    agentOf: (vmId) => lifecycle.runningVm(vmId)?.agent ?? null,
    tell: (type, vmIds, message) => tellOf(state, clock, log, vmIds, type, message),
    log,
  });
  const media = new Media({ config, host, state, clock, log });
  const boots = new Boots({
    bootsMax: config.bootsMax,
    cores: availableParallelism(),
    explain: (vmId, reason) => state.vms.explain(vmId, reason),
    onOver: (vmId, { identity }) => {
      readiness.booted(vmId);
      host.endBoot(identity, cgroupNameOf(vmId)).catch((error: unknown) => {
        log.warn({ id: vmId, err: error }, 'a guest that has booted keeps a greater share');
      });
    },
    log,
  });
  const launching = { config, host, hypervisor, hostFacts, devices, exposures, media, boots, log };
  const launcher = new Launcher(launching);
  const plugins = new Plugins(state, clock, snapshot.plugins);
  const { subnet, hostIp } = config;
  const resting = LIMITS.addressQuarantineMs;
  const addresses = new AddressPool(subnet, hostIp, resting, snapshot.addresses);
  const manifestFor = (request: CreateVmRequest) => plugins.manifestFor(request);
  const known = { config, state, launcher, addresses, exposures, clock, log };
  const admission = new Admission({ ...known, lastVmId, manifestFor });
  const diskGuard = new DiskGuard({ state, clock, log });
  const lifecycle = new VmLifecycle({ ...known, admission, operations, diskGuard, boots });
  events.subscribe((stored) => {
    for (const { body } of stored) {
      const record = body.type.startsWith('VM_') ? state.vms.recordByName(body.name) : undefined;
      if (record !== undefined) readiness.changed(record.id);
    }
  });
  const replicas = { state, lifecycle, admission, exposures, plugins, readiness, clock, log };
  const deployments = new Deployments(replicas, snapshot.deployments);
  return {
    state,
    operations,
    hostFacts,
    devices,
    launcher,
    plugins,
    addresses,
    boots,
    exposures,
    admission,
    lifecycle,
    readiness,
    deployments,
  };
}

function hasHealthCheck(state: State, vmId: number): boolean {
  const record = state.find(vmId);
  if (record === undefined) return false;
  const stored = state.store.config(vmId, record.launchedConfigVersion);
  return Boolean(stored?.config.manifest.health_check.endpoint);
}

/** An event about each of these VMs. One that cannot be written is logged. */
function tellOf(
  state: State,
  clock: Clock,
  log: Logger,
  vmIds: readonly number[],
  type: OtherEventType,
  message: string,
): void {
  const events = vmIds.flatMap((id) => {
    const record = state.find(id);
    if (record === undefined) return [];
    const { name, status, replica } = record;
    const deployment = replica === undefined ? {} : { deployment: replica.deployment };
    return otherEvent(type, { name, status, ...deployment }, clock.nowMs(), message);
  });
  state.commit([], events).catch((error: unknown) => {
    log.warn({ err: error, type }, 'an event could not be written');
  });
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
