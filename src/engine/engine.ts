// engine: the parts of the engine, joined. http sees the Engine; daemon.ts besides has the engine's life:
// recover at the start, shut down at the end, tear down when the host is to be left clean.

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type Config, LIMITS } from '../config.ts';
import type { Clock } from '../lib/clock.ts';
import { failPoints, type PassFailPoint } from '../lib/fail-points.ts';
import type { Logger } from '../lib/log.ts';
import { healthCheckType } from '../schema/health-check-rules.ts';
import type { CreateVmRequest } from '../schema/vm.ts';
import { AddressPool } from './addresses.ts';
import { Agents } from './agents.ts';
import { Artifacts } from './artifacts.ts';
import { Audit } from './audit/audit.ts';
import { Boots } from './boots/boots.ts';
import { Budget } from './budget/budget.ts';
import { builtinPlugins } from './builtin-plugins.ts';
import { ConditionKeeper } from './conditions/condition-keeper.ts';
import { Pulse } from './conditions/pulse.ts';
import { Configs } from './configs.ts';
import { Consoles } from './consoles.ts';
import { Deployments } from './deployments/deployments.ts';
import { Devices } from './devices/devices.ts';
import type { Engine } from './engine-api.ts';
import { EventLog, type OtherEventType, otherEvent } from './events.ts';
import { Exposures } from './exposures/exposures.ts';
import { Health } from './health.ts';
import { HostFacts } from './host-facts.ts';
import { HypervisorProbe } from './hypervisor-probe.ts';
import { Idempotency } from './idempotency.ts';
import { cgroupNameOf } from './identity.ts';
import { BootMemory } from './media/boot-memory.ts';
import { DiskGuard } from './media/disk-guard.ts';
import { Media } from './media/media.ts';
import { createNetworkKeeper } from './network/create-network-keeper.ts';
import type { NetworkKeeper } from './network/network-keeper.ts';
import { Plugins } from './plugins.ts';
import type { HostPort, HypervisorPort } from './ports.ts';
import { ReadModel } from './read-model.ts';
import { Readiness } from './readiness.ts';
import { State } from './state.ts';
import type { Snapshot, StorePort } from './store-ports.ts';
import { System } from './system.ts';
import { Admission } from './vms/admission.ts';
import { descriptionOf } from './vms/description.ts';
import type { Describe } from './vms/descriptions.ts';
import { Hypervisors } from './vms/hypervisors.ts';
import { Journal } from './vms/journal.ts';
import { LaunchPlanner } from './vms/launch-planner.ts';
import { Launcher } from './vms/launcher.ts';
import { LiveVms } from './vms/live.ts';
import { Notes } from './vms/notes.ts';
import { Recovery } from './vms/recovery.ts';
import { createVms } from './vms/room.ts';
import { VmService } from './vms/vm-service.ts';
import { WorkloadNews } from './workload-news.ts';
import { workloadBody, workloadTrouble, workloadVerdict } from './workload-view.ts';

export interface EngineParts {
  readonly config: Config;
  readonly store: StorePort;
  readonly host: HostPort;
  readonly hypervisor: HypervisorPort;
  readonly clock: Clock;
  readonly log: Logger;
  /** The longest recent stall of the event loop. */
  readonly stalledMs: () => number;
}

/** The engine with its life, for daemon.ts. */
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
  const { config, host, hypervisor, clock, log } = parts;
  const snapshot = parts.store.load();
  const pass = failPoints(config.failPoint);
  const state = stateOf(parts, snapshot, pass);
  const live = new LiveVms();
  const shared = sharedParts(parts, snapshot, state, live);
  const { hostFacts, boots, pulse, readiness, devices, exposures, network, bootMemory, budget } =
    shared;
  const plugins = new Plugins(state, clock, bootMemory, snapshot.plugins);
  const { subnet, hostIp } = config;
  const resting = LIMITS.addressQuarantineMs;
  const addresses = new AddressPool(subnet, hostIp, resting, snapshot.addresses, clock);
  const { planner, admission, hypervisors, journal, room } = vmParts(parts, snapshot, state, live, {
    ...shared,
    addresses,
    plugins,
    pass,
  });
  const { vms, operations } = room;
  const deployments = new Deployments(
    { state, vms, admission, exposures, plugins, readiness, clock, log },
    snapshot.deployments,
  );
  const audit = new Audit({ state, host, addresses, network, room, admission, clock, log });
  const health = new Health(parts);
  const facts = { config, host, hostFacts, state, plugins, boots, exposures, budget };
  const system = new System({ ...facts, audit, health });
  const runDirectory = (vmId: number) => hypervisors.runDirectory(vmId);
  const consoles = new Consoles({ state, live, host, hypervisor, runDirectory, log });
  const trimmer = trimLogs(host, live, log);
  const recovery = new Recovery({ state, room, hostFacts, exposures, devices, clock, log });

  const recover = async () => {
    system.recovery = await recovery.run(snapshot);
  };
  return {
    engine: {
      vms: new VmService({ state, vms, admission, planner, readiness, journal, log }),
      configs: new Configs({ state, admission, addresses, exposures, operations, clock }),
      deployments,
      plugins,
      artifacts: new Artifacts(state, clock, snapshot.artifacts),
      agents: new Agents({ state, live, plugins }),
      consoles,
      devices,
      idempotency: new Idempotency(state, clock, snapshot.answers),
      events: state.events,
      system,
    },
    prepare: () => installBuiltins(config, state, plugins, snapshot),
    recover: async () => {
      await recover();
      room.autostart.begin(snapshot.bootId, room.hostLook.bootId);
      deployments.start();
      audit.start();
      network.start();
      pulse.start();
    },
    shutdown: async () => {
      clearInterval(trimmer);
      deployments.stop();
      const owners = [audit, pulse, hostFacts, readiness, shared.workloads, consoles, devices];
      for (const owner of [...owners, exposures, boots]) owner.close();
      await Promise.all([network.close(), room.close()]);
      live.disconnect();
    },
    teardown: async () => {
      await recover();
      await deployments.forgetAll();
      await Promise.all(state.vms.records().map(({ name }) => vms.destroy(name)));
      await devices.releaseAll();
      devices.close();
      await hostFacts.removeNetwork();
      await host.removeCgroupRoot();
    },
  };
}

/** At the very first start only: a built-in plugin that was removed does not come back. */
async function installBuiltins(
  { home }: Config,
  state: State,
  plugins: Plugins,
  { builtinsInstalled }: Snapshot,
): Promise<void> {
  if (builtinsInstalled) return;
  for (const manifest of builtinPlugins(join(home, 'images'))) {
    // One that was rebuilt may be its user's own.
    if (plugins.recordOf(manifest.name ?? '') === undefined) await plugins.installBuiltin(manifest);
  }
  await state.commit([{ table: 'meta', key: 'builtinsInstalled', value: true }], []);
}

function stateOf(
  { config, store }: EngineParts,
  { vms, lastSequence }: Snapshot,
  pass: PassFailPoint,
): State {
  const events = new EventLog(store, lastSequence, LIMITS.eventRingMax);
  return new State(store, new ReadModel(config.runtimeDirectory, vms), events, pass);
}

/** What VMs share of the host, and what is known of their guests. */
interface SharedParts {
  readonly hostFacts: HostFacts;
  readonly boots: Boots;
  readonly conditions: ConditionKeeper;
  readonly pulse: Pulse;
  readonly readiness: Readiness;
  readonly workloads: WorkloadNews;
  readonly devices: Devices;
  readonly exposures: Exposures;
  readonly media: Media;
  readonly bootMemory: BootMemory;
  readonly budget: Budget;
  readonly network: NetworkKeeper;
}

function sharedParts(
  { config, host, clock, log }: EngineParts,
  { kvmTrials, hostChanges, devices }: Snapshot,
  state: State,
  live: LiveVms,
): SharedParts {
  const probe = new HypervisorProbe({ host, state, clock, log }, kvmTrials);
  const hostFacts = new HostFacts({ config, host, state, clock, probe, hostChanges, log });
  const boots = new Boots({
    bootsMax: config.bootsMax,
    cores: availableParallelism(),
    explain: (vmId, reason) => state.vms.explain(vmId, reason),
    log,
  });
  const conditions = new ConditionKeeper({ state, clock, log });
  const readiness = readinessOf({ state, live, boots, conditions, log });
  const workloads = new WorkloadNews({
    agentOf: (vmId) => live.runningVm(vmId)?.agent,
    tell: (vmId, workload) => {
      state.vms.explain(vmId, workload && workloadTrouble(workload));
      state.vms.tellWorkload(vmId, workload && workloadBody(workload));
      const verdict = workload && workloadVerdict(workload);
      if (verdict !== null) conditions.see(vmId, { workload: verdict });
      readiness.recheck(vmId);
    },
    log,
  });
  live.subscribe((vmId) => workloads.end(vmId));
  boots.subscribe((vmId, { identity }) => {
    readiness.recheck(vmId);
    workloads.begin(vmId);
    host.endBoot(identity, cgroupNameOf(vmId)).catch((error: unknown) => {
      log.warn({ id: vmId, err: error }, 'a guest that has booted keeps a greater share');
    });
  });
  const exposures = new Exposures({
    host,
    networkSpec: () => hostFacts.networkSpec,
    tunnelsMax: config.guestConnectionsMax,
    readiness,
    agentOf: (vmId) => live.runningVm(vmId)?.agent ?? null,
    tell: (type, vmIds, message) => tellOf(state, clock, log, vmIds, type, message),
    log,
  });
  const known = { config, host, hostFacts, state, live, exposures, conditions, clock, log };
  return {
    hostFacts,
    boots,
    conditions,
    pulse: new Pulse({ live, conditions, log }),
    readiness,
    workloads,
    exposures,
    network: createNetworkKeeper(known),
    devices: new Devices({ config, host, state, clock, log }, devices),
    media: new Media({ config, host, state, clock, log }),
    bootMemory: new BootMemory({ host, hostFacts, bootInitramfs: config.bootInitramfs }),
    budget: new Budget({ state, settings: config.budget, hostSize: () => host.size() }),
  };
}

function vmParts(
  { config, host, hypervisor, clock, log }: EngineParts,
  { lastVmId }: Snapshot,
  state: State,
  live: LiveVms,
  shared: SharedParts & {
    readonly addresses: AddressPool;
    readonly plugins: Plugins;
    readonly pass: PassFailPoint;
  },
) {
  const { hostFacts, boots, conditions, devices, exposures, media, bootMemory, budget } = shared;
  const { addresses, plugins, pass } = shared;
  const journal = new Journal({ state, clock, log });
  const launching = { config, host, hostFacts, bootMemory, budget, state, log };
  const planner = new LaunchPlanner({ ...launching, media });
  const manifestFor = (request: CreateVmRequest) => plugins.manifestFor(request);
  const leases = { config, state, planner, addresses, exposures, budget, clock, lastVmId };
  const admission = new Admission({ ...leases, manifestFor });
  const see = (vmId: number, isDiskFull: boolean) => conditions.see(vmId, { isDiskFull });
  const diskGuard = new DiskGuard({ state, see, clock, log });
  const describe: Describe = (record, vmConfig) =>
    descriptionOf({
      record,
      config: vmConfig,
      devices: devices.takenFor(record.id),
      plugin: plugins.recordOf(vmConfig.plugin),
    });
  const hypervisors = new Hypervisors({ ...launching, hypervisor, diskGuard, describe });
  const room = createVms({
    state,
    live,
    boots,
    planner,
    admission,
    hypervisors,
    launcher: new Launcher({ devices, media, exposures, boots, hypervisors }),
    exposures,
    conditions,
    notes: new Notes({ state, addresses, clock, journal }),
    journal,
    host,
    pass,
    clock,
    log,
  });
  return { planner, admission, hypervisors, journal, room };
}

const SEEN = ['VM_DEGRADED', 'VM_REPAIRED'];

function readinessOf(parts: {
  readonly state: State;
  readonly live: LiveVms;
  readonly boots: Boots;
  readonly conditions: ConditionKeeper;
  readonly log: Logger;
}): Readiness {
  const { state, live, boots, conditions, log } = parts;
  const readiness = new Readiness({
    agentOf: (vmId) => live.runningVm(vmId)?.agent,
    hasBooted: (vmId) => {
      const vm = live.runningVm(vmId);
      return vm !== undefined && boots.isOver(vm);
    },
    checkOf: (vmId) => checkOf(state, vmId),
    isResponsive: (vmId) => conditions.isResponsive(vmId),
    silentForMs: (vmId) => conditions.silentForMs(vmId),
    log,
  });
  conditions.subscribe((vmId) => readiness.recheck(vmId));
  state.events.subscribe((stored) => {
    for (const { body } of stored) {
      const record = body.type.startsWith('VM_') ? state.vms.recordByName(body.name) : undefined;
      // What was seen of a VM that runs is told to those who listen to its conditions.
      if (record !== undefined && !SEEN.includes(body.type)) readiness.changed(record.id);
    }
  });
  return readiness;
}

function checkOf(state: State, vmId: number): ReturnType<typeof healthCheckType> {
  const record = state.find(vmId);
  if (record === undefined) return null;
  const stored = state.store.config(vmId, record.launchedConfigVersion);
  return stored === undefined ? null : healthCheckType(stored.config.manifest.health_check);
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
function trimLogs(host: HostPort, live: LiveVms, log: Logger): NodeJS.Timeout {
  let busy = false;
  const round = async () => {
    if (busy) return;
    busy = true;
    try {
      await host.trimLogs(live.runningIds());
    } catch (error) {
      log.warn({ err: error }, 'logs could not be trimmed');
    } finally {
      busy = false;
    }
  };
  return setInterval(() => void round(), LIMITS.logTrimIntervalMs).unref();
}
