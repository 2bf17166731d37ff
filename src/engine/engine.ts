// engine: builds the parts of the engine and joins them. http gets the Engine. daemon.ts also gets its life cycle:
// recover at the start, shut down at the end, tear down to leave a clean host.

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Limits } from '../config/limits.ts';
import type { Config } from '../config.ts';
import type { Clock } from '../lib/clock.ts';
import { failPoints, type PassFailPoint } from '../lib/fail-points.ts';
import type { Logger } from '../lib/log/log.ts';
import type { CreateVmRequest } from '../schema/vm.ts';
import { Audit } from './audit/audit.ts';
import { processorSecondsOf, softwareKey } from './boots/boot-facts.ts';
import { Boots } from './boots/boots.ts';
import { Budget } from './budget/budget.ts';
import { ConditionKeeper } from './conditions/condition-keeper.ts';
import { Pulse } from './conditions/pulse.ts';
import { Configs } from './configs/configs.ts';
import { createNetworkKeeper } from './create-network-keeper.ts';
import { createReadiness } from './create-readiness.ts';
import { Deployments } from './deployments/deployments.ts';
import { Devices } from './devices/devices.ts';
import type { Engine } from './engine-api.ts';
import { EventLog, type OtherEventType, otherEvent } from './events/events.ts';
import { Execs } from './execs/execs.ts';
import { HostFacts } from './facts/host-facts.ts';
import { HypervisorProbe } from './facts/hypervisor-probe.ts';
import { Agents, type AgentsParts } from './guests/agents.ts';
import { Consoles } from './guests/consoles.ts';
import type { Readiness } from './guests/readiness.ts';
import { WorkloadFollower } from './guests/workload-follower.ts';
import { workloadBody, workloadProblem, workloadVerdict } from './guests/workload-view.ts';
import { BootMemory } from './media/boot-memory.ts';
import { DiskGuard } from './media/disk-guard.ts';
import { Images } from './media/images.ts';
import { Media } from './media/media.ts';
import { MetadataService } from './metadata/metadata-service.ts';
import { AddressPool } from './network/addresses.ts';
import { Egress } from './network/egress.ts';
import type { NetworkKeeper } from './network/network-keeper.ts';
import { Artifacts } from './plugins/artifacts.ts';
import { builtinPlugins } from './plugins/builtin-plugins.ts';
import { Plugins } from './plugins/plugins.ts';
import type { HostPorts } from './ports/host-ports.ts';
import type { HypervisorPort } from './ports/hypervisor-ports.ts';
import type { Snapshot, StorePort } from './ports/store-ports.ts';
import { PortPublisher } from './published-ports/port-publisher.ts';
import { Idempotency } from './state/idempotency.ts';
import { ReadModel } from './state/read-model.ts';
import { State } from './state/state.ts';
import { createStats, type LoopFacts } from './stats/stats.ts';
import { Health } from './system/health.ts';
import { System } from './system/system.ts';
import { cgroupNameOf } from './vm-record/derived-names.ts';
import { Admission } from './vms/admission.ts';
import { Journal } from './vms/journal.ts';
import { LaunchPlanner } from './vms/launch/launch-planner.ts';
import { Launcher } from './vms/launcher.ts';
import { descriptionOf } from './vms/processes/description.ts';
import type { Describe } from './vms/processes/descriptions.ts';
import { Hypervisors } from './vms/processes/hypervisors.ts';
import { LiveVms } from './vms/processes/live.ts';
import { trimLogs } from './vms/processes/trim-logs.ts';
import { RecordWriter } from './vms/record-writer.ts';
import { Recovery } from './vms/recovery.ts';
import { VmService } from './vms/vm-service.ts';
import { createVmSubsystem } from './vms/vm-subsystem.ts';
import type { Vms } from './vms/vms.ts';

export interface EngineParts {
  readonly config: Config;
  readonly store: StorePort;
  readonly host: HostPorts;
  readonly hypervisor: HypervisorPort;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Logger;
  /** The longest recent stall of the event loop, in ms. */
  readonly stalledMs: () => number;
  readonly loop: LoopFacts;
  /** One of the records was found to be damaged. */
  readonly areRecordsDamaged: () => boolean;
}

/** The engine with its life cycle, for daemon.ts. */
export interface EngineControl {
  readonly engine: Engine;
  /** Installs the built-in plugins at the very first start. Call it before anything is served. */
  prepare(): Promise<void>;
  /** Makes records and host agree. The API may serve meanwhile. */
  recover(): Promise<void>;
  /** Lets running work end, begins no more, and disconnects from the hypervisors, which keep running. */
  shutdown(): Promise<void>;
  /** Deletes every VM and everything that the daemon made in the kernel. */
  teardown(): Promise<void>;
}

export function createEngine(parts: EngineParts): EngineControl {
  const { config, host, hypervisor, limits, clock, log } = parts;
  const snapshot = parts.store.load();
  const pass = failPoints(config.failPoint);
  const state = stateOf(parts, snapshot, pass);
  const live = new LiveVms();
  const shared = sharedParts(parts, snapshot, state, live);
  const { hostFacts, boots, pulse, readiness, devices, publisher, network, bootMemory } = shared;
  const { budget, egress } = shared;
  const plugins = new Plugins(state, clock, bootMemory, snapshot.plugins);
  const addresses = addressesOf(parts);
  const joined = { ...shared, addresses, plugins, pass };
  const launching = vmParts(parts, snapshot, state, live, joined);
  const { planner, admission, hypervisors, journal, subsystem, metadata } = launching;
  const { vms, operations } = subsystem;
  const base = { state, limits, clock, log };
  const configs = new Configs({ ...base, admission, addresses, publisher, egress, operations });
  const launched = { ...base, vms, admission, publisher, plugins, readiness, configs };
  const deployments = new Deployments(launched, snapshot.deployments);
  const audited = { ...base, addresses, network, subsystem, admission };
  const audit = new Audit({ ...audited, host: host.processes });
  const facts = { config, host, hostFacts, state, plugins, boots, publisher, budget };
  const health = new Health({ ...parts, host: host.system });
  const system = new System({ ...facts, audit, health });
  const idempotency = new Idempotency(state, clock, snapshot.answers);
  const counted = { ...facts, addresses, deployments, operations, journal, idempotency, health };
  const stats = createStats({ ...parts, ...counted, egress, live, clock });
  const runDirectory = (vmId: number) => hypervisors.runDirectory(vmId);
  const serial = { live, hypervisor, runDirectory };
  const consoles = new Consoles({ ...base, ...serial, host: host.processes });
  const trimmer = trimLogs({ ...base, host: host.processes, live });
  const recovery = new Recovery({ ...base, subsystem, hypervisors, hostFacts, publisher, devices });

  const recover = async () => {
    system.recovery = await recovery.run(snapshot);
  };
  return {
    engine: {
      vms: new VmService({ state, vms, admission, planner, readiness, journal, log }),
      configs,
      egress,
      deployments,
      plugins,
      artifacts: new Artifacts(state, clock, snapshot.artifacts),
      images: new Images({ ...base, host: host.media }),
      ...throughAgents({ state, live, plugins }),
      consoles,
      devices,
      idempotency,
      events: state.events,
      system,
      stats,
    },
    prepare: () => installBuiltins(config, state, plugins, snapshot),
    recover: async () => {
      await recover();
      // Not before: it would delay the first answers and the adoption of VMs.
      state.vms.prepareLists();
      subsystem.begin(snapshot.bootId);
      deployments.start();
      audit.start();
      network.start();
      pulse.start();
    },
    shutdown: async () => {
      clearInterval(trimmer);
      deployments.stop();
      const owners = [audit, pulse, hostFacts, readiness, shared.workloads, consoles, devices];
      for (const owner of [...owners, publisher, boots, metadata]) owner.close();
      await Promise.all([network.close(), subsystem.close()]);
      live.disconnect();
    },
    teardown: async () => {
      await recover();
      await removeAll({ deployments, state, vms, devices, hostFacts, host });
    },
  };
}

interface Removable {
  readonly deployments: Deployments;
  readonly state: State;
  readonly vms: Vms;
  readonly devices: Devices;
  readonly hostFacts: HostFacts;
  readonly host: HostPorts;
}

/** Every VM, and what they share in the kernel. */
async function removeAll(parts: Removable): Promise<void> {
  const { deployments, state, vms, devices, hostFacts, host } = parts;
  await deployments.forgetAll();
  await Promise.all([...state.vms.summaries()].map(({ name }) => vms.destroy(name)));
  await devices.releaseAll();
  devices.close();
  await hostFacts.removeNetwork();
  await host.processes.removeCgroupRoot();
}

/** What reaches into guests through their agents. */
function throughAgents(parts: AgentsParts): Pick<Engine, 'agents' | 'execs'> {
  const agents = new Agents(parts);
  return { agents, execs: new Execs({ ...parts, agents }) };
}

/** At the very first start only, so that a built-in plugin that was removed is not installed again. */
async function installBuiltins(
  { home }: Config,
  state: State,
  plugins: Plugins,
  { builtinsInstalled }: Snapshot,
): Promise<void> {
  if (builtinsInstalled) return;
  for (const manifest of builtinPlugins(join(home, 'images'))) {
    // A plugin that was rebuilt from a VM may be the user's own.
    if (plugins.recordOf(manifest.name ?? '') === undefined) await plugins.installBuiltin(manifest);
  }
  await state.commit([{ table: 'meta', key: 'builtinsInstalled', value: true }], []);
}

function addressesOf({ config, limits, store, clock }: EngineParts): AddressPool {
  const { subnet, hostIp } = config;
  const restingMs = limits.addressQuarantineMs;
  return new AddressPool(subnet, hostIp, restingMs, store.addressLeases(), clock);
}

function stateOf(
  { config, limits, store }: EngineParts,
  { lastSequence }: Snapshot,
  pass: PassFailPoint,
): State {
  const events = new EventLog(store, lastSequence, limits.eventRingMax);
  const source = { summaries: store.summaries(), read: (vmId: number) => store.vm(vmId) };
  return new State(store, new ReadModel(config.runtimeDirectory, source), events, pass);
}

/** What VMs share on the host, and what is known of their guests. */
interface SharedParts {
  readonly hostFacts: HostFacts;
  readonly boots: Boots;
  readonly conditions: ConditionKeeper;
  readonly pulse: Pulse;
  readonly readiness: Readiness;
  readonly workloads: WorkloadFollower;
  readonly devices: Devices;
  readonly publisher: PortPublisher;
  readonly media: Media;
  readonly bootMemory: BootMemory;
  readonly budget: Budget;
  readonly network: NetworkKeeper;
  readonly egress: Egress;
}

function sharedParts(
  { config, host, limits, clock, log }: EngineParts,
  { kvmTrials, hostChanges, devices }: Snapshot,
  state: State,
  live: LiveVms,
): SharedParts {
  const base = { state, limits, clock, log };
  const probe = new HypervisorProbe({ ...base, host: host.processes }, kvmTrials);
  const hostFacts = new HostFacts({ ...base, config, host: host.network, probe, hostChanges });
  const boots = new Boots({
    bootsMax: config.bootsMax,
    cores: availableParallelism(),
    setStatusReason: (vmId, reason) => state.vms.setStatusReason(vmId, reason),
    softwareOf: ({ id, launchedConfigVersion }) =>
      softwareKey(state.store.config(id, launchedConfigVersion)?.config),
    processorSeconds: (vmId, { identity }) => processorSecondsOf(host.stats, vmId, identity),
    log,
  });
  const conditions = new ConditionKeeper({ state, clock, log });
  const readiness = createReadiness({ state, live, boots, conditions, limits, log });
  const workloads = new WorkloadFollower({
    agentOf: (vmId) => live.runningVm(vmId)?.agent,
    report: (vmId, workload) => {
      state.vms.setStatusReason(vmId, workload && workloadProblem(workload));
      state.vms.setWorkload(vmId, workload && workloadBody(workload));
      const verdict = workload && workloadVerdict(workload);
      if (verdict !== null) conditions.observe(vmId, { workload: verdict });
      readiness.recheck(vmId);
    },
    limits,
    log,
  });
  live.subscribe((vmId) => workloads.end(vmId));
  boots.subscribe((vmId, { identity }) => {
    readiness.recheck(vmId);
    workloads.begin(vmId);
    host.processes.endBoot(identity, cgroupNameOf(vmId)).catch((error: unknown) => {
      log.warn({ id: vmId, err: error }, 'a booted guest keeps its greater CPU weight');
    });
  });
  const publisher = new PortPublisher({
    host: host.network,
    networkSpec: () => hostFacts.networkSpec,
    tunnelsMax: config.guestConnectionsMax,
    readiness,
    agentOf: (vmId) => live.runningVm(vmId)?.agent ?? null,
    report: (type, vmIds, message) => emitAbout(state, clock, log, vmIds, type, message),
    log,
  });
  const { bootInitramfs } = config;
  const known = { ...base, config, host: host.network, hostFacts, live, publisher, conditions };
  return {
    hostFacts,
    boots,
    conditions,
    pulse: new Pulse({ live, conditions, limits, log }),
    readiness,
    workloads,
    publisher,
    network: createNetworkKeeper(known),
    egress: new Egress(known),
    devices: new Devices({ ...base, config, host: host.devices }, devices),
    media: new Media({ ...base, config, host: host.media }),
    bootMemory: new BootMemory({ host: host.media, hostFacts, bootInitramfs }),
    budget: new Budget({ state, settings: config.budget, hostSize: () => host.system.size() }),
  };
}

function vmParts(
  { config, host, hypervisor, limits, clock, log }: EngineParts,
  { lastVmId }: Snapshot,
  state: State,
  live: LiveVms,
  shared: SharedParts & {
    readonly addresses: AddressPool;
    readonly plugins: Plugins;
    readonly pass: PassFailPoint;
  },
) {
  const { hostFacts, boots, conditions, devices, publisher, media, bootMemory, budget } = shared;
  const { addresses, plugins, pass } = shared;
  const journal = new Journal({ state, clock, log });
  const launching = { config, hostFacts, bootMemory, budget, state, log };
  const planner = new LaunchPlanner({ ...launching, host, media });
  const manifestFor = (request: CreateVmRequest) => plugins.manifestFor(request);
  const leases = { config, state, planner, addresses, publisher, budget, clock, lastVmId };
  const admission = new Admission({ ...leases, manifestFor });
  const observe = (vmId: number, isDiskFull: boolean) => conditions.observe(vmId, { isDiskFull });
  const diskGuard = new DiskGuard({ state, observe, limits, clock, log });
  const describe: Describe = (record, vmConfig) =>
    descriptionOf({
      record,
      config: vmConfig,
      devices: devices.takenFor(record.id),
      plugin: plugins.recordOf(vmConfig.plugin),
    });
  const metadata = new MetadataService({ state, clock, log });
  const guests = { hypervisor, diskGuard, describe, metadata };
  const hypervisors = new Hypervisors({ ...launching, host, ...guests });
  const subsystem = createVmSubsystem({
    state,
    live,
    boots,
    planner,
    admission,
    hypervisors,
    launcher: new Launcher({ devices, media, publisher, boots, hypervisors }),
    publisher,
    conditions,
    recordWriter: new RecordWriter({ state, addresses, clock, journal }),
    journal,
    host,
    limits,
    pass,
    clock,
    log,
  });
  return { planner, admission, hypervisors, journal, subsystem, metadata };
}

/** Emits an event about each of these VMs. A failure is logged. */
function emitAbout(
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
