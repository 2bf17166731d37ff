// engine, vms: admission of new VMs and of further launches. It resolves configs and reserves id, name, allocations and
// budget, all in memory. record-writer.ts stores them.

import { bootsGuests, driverOf } from '../../config/drivers.ts';
import { LIMITS } from '../../config/limits.ts';
import type { Config } from '../../config.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Manifest } from '../../schema/manifest.ts';
import type { CreateVmRequest } from '../../schema/vm.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import type { Budget } from '../budget/budget.ts';
import type { VmSize } from '../budget/rules.ts';
import type { AddressPool } from '../network/addresses.ts';
import type { PortPublisher } from '../published-ports/port-publisher.ts';
import {
  type PublishedPort,
  publishedPortsOf,
  replicaPortProblems,
  replicaPortsOf,
} from '../published-ports/published-ports.ts';
import type { Cause, ReplicaOf, VmLeases, VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import { deadlineIn } from '../vm-record/deadline.ts';
import { idsOfSameUser, macAddressOf, tapNameOf, vsockCidOf } from '../vm-record/derived-names.ts';
import type { LaunchDraft, LaunchPlanner, LaunchPreparation } from './launch/launch-planner.ts';
import {
  egressRulesOf,
  networkModeOf,
  requestedAddressOf,
  resolveConfig,
} from './launch/launch-spec.ts';

/** A VM with a reserved name and allocations. Nothing of it exists on the host or on disk yet. */
export interface Draft extends LaunchDraft {
  readonly record: VmRecord;
  readonly config: VmConfig;
}

/** A create on behalf of a deployment. Its manifest was resolved when the deployment was made. */
export interface ReplicaOrigin {
  readonly replica: ReplicaOf;
  readonly manifest: Manifest;
}

/** The input of `reserve`. */
export interface NewVm {
  readonly name: string;
  readonly config: VmConfig;
  readonly preparation: LaunchPreparation;
  readonly replica: ReplicaOf | undefined;
  readonly cause: Cause;
  /** From now on; undefined: the VM stays. */
  readonly deadlineSeconds: number | undefined;
}

/** A name that no other create gets until this one has succeeded or failed. */
interface Reservation {
  readonly id: number;
  /** Resolves when the create has succeeded or failed. */
  readonly settled: Promise<void>;
  readonly settle: () => void;
}

export interface AdmissionParts {
  readonly config: Config;
  readonly state: State;
  readonly planner: LaunchPlanner;
  readonly addresses: AddressPool;
  readonly publisher: PortPublisher;
  readonly budget: Budget;
  readonly clock: Clock;
  readonly lastVmId: number;
  /** The manifest that a request names. Throws PLUGIN_NOT_FOUND, PLUGIN_DISABLED, PLUGIN_MISMATCH or BODY_INVALID. */
  readonly manifestFor: (request: CreateVmRequest) => Manifest;
}

export class Admission {
  readonly #parts: AdmissionParts;
  /** By name: creates whose record is not on disk yet. */
  readonly #reserved = new Map<string, Reservation>();
  #lastVmId: number;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
    this.#lastVmId = parts.lastVmId;
  }

  /** The highest id that was allocated so far. */
  get lastVmId(): number {
    return this.#lastVmId;
  }

  /** The config of a create. Throws VM_NAME_TAKEN, PORT_TAKEN, or what `configOf` throws. */
  resolve(
    request: CreateVmRequest,
    origin?: ReplicaOrigin,
  ): { readonly config: VmConfig; readonly replica: ReplicaOf | undefined } {
    this.#refuseTakenName(request.name);
    const manifest = origin?.manifest ?? this.#parts.manifestFor(request);
    const config = this.configOf(request, manifest);
    const replica = origin?.replica;
    this.#parts.publisher.refuseTaken(
      { name: request.name, replica },
      publishedPortsOf(config, replica),
    );
    return { config, replica };
  }

  /** The complete config of a request. Throws BODY_INVALID, FEATURE_UNAVAILABLE or CMDLINE_TOO_LONG. */
  configOf(request: Omit<CreateVmRequest, 'name'>, manifest: Manifest): VmConfig {
    const { advertise, hypervisor } = this.#parts.config;
    const config = resolveConfig(request, manifest, {
      apiHost: advertise.host,
      apiPort: advertise.port,
      cpuCoresMax: LIMITS.cpuCoresMax,
      memoryMbMin: LIMITS.memoryMbMin,
      memoryMbMax: LIMITS.memoryMbMax,
      kernelCmdlineBytesMax: LIMITS.kernelCmdlineBytesMax,
      isSimulated: !bootsGuests(driverOf(hypervisor)),
    });
    this.#refuseEgress(config);
    return config;
  }

  /** Egress rules are about an address that this daemon gives. */
  #refuseEgress(config: VmConfig): void {
    if (egressRulesOf(config) === undefined || this.#getsAddress(config)) return;
    const why =
      networkModeOf(config) === 'vsock'
        ? 'needs a network card: a VM in mode vsock has none'
        : 'needs mode bridged, or VOLANT_DHCP_SERVER=dnsmasq: the daemon does not know the address that another DHCP server gives';
    throw new VolantError('BODY_INVALID', undefined, { details: { 'network.egress': why } });
  }

  /** Checks a config as LaunchPlanner.requireLaunchable does. Throws BODY_INVALID, MEDIA_INVALID or MEDIA_NOT_ALLOWED. */
  requireLaunchable(
    config: VmConfig,
    memoryField: string,
    before?: VmConfig,
  ): Promise<Readonly<Record<string, string>>> {
    return this.#parts.planner.requireLaunchable(config, memoryField, before);
  }

  /**
   * Checks the published ports of all replicas of a deployment. Throws PORT_TAKEN, or BODY_INVALID if they overlap or
   * are too many.
   */
  requireReplicaPorts(deployment: string, replicas: number, config: VmConfig): void {
    const details = replicaPortProblems(config, replicas);
    if (Object.keys(details).length > 0) {
      throw new VolantError('BODY_INVALID', undefined, { details });
    }
    // Revision 0 is no revision: current replicas keep their ports until they are replaced.
    const owner = { name: deployment, replica: { deployment, revision: 0 } };
    this.#parts.publisher.refuseTaken(owner, replicaPortsOf(config, replicas));
  }

  /** Throws PORT_TAKEN if other programs of the host have some of these ports. */
  requireFreePorts(ports: readonly PublishedPort[]): Promise<void> {
    return this.#parts.publisher.requireFree(ports);
  }

  /**
   * Reserves name, id and allocations for a new VM. A name counts as taken once its VM is visible, so this waits for
   * another create of the same name. Throws VM_NAME_TAKEN, CAPACITY_EXHAUSTED, MEMORY_EXHAUSTED, CPU_EXHAUSTED,
   * ADDRESS_POOL_EXHAUSTED, ADDRESS_TAKEN, BODY_INVALID or CMDLINE_TOO_LONG.
   */
  async reserve(vm: NewVm): Promise<Draft> {
    const { addresses, budget } = this.#parts;
    while (this.#reserved.has(vm.name)) await this.#reserved.get(vm.name)?.settled;
    // Nothing below is asynchronous, so two creates of one name cannot both pass.
    this.#requireFree(vm.name);
    const id = this.#nextId();
    budget.require(candidateOf(id, vm), sizeOf(vm.config));
    const leases = this.leasesFor(id, vm.config);
    try {
      const draft = this.#draft(vm, id, leases);
      this.#reserved.set(vm.name, reservationOf(id));
      this.#lastVmId = id;
      budget.admit(candidateOf(id, vm), sizeOf(vm.config));
      return draft;
    } catch (error) {
      if (leases.ipAddress !== null) addresses.cancel(leases.ipAddress, id);
      throw error;
    }
  }

  /** What `reserve` would return now; it throws the same errors. It reserves nothing. */
  async preview(vm: NewVm): Promise<Draft> {
    const { addresses, budget } = this.#parts;
    while (this.#reserved.has(vm.name)) await this.#reserved.get(vm.name)?.settled;
    this.#requireFree(vm.name);
    const id = this.#nextId();
    budget.require(candidateOf(id, vm), sizeOf(vm.config));
    this.refuseAddress(id, vm.config);
    const leases = this.#leasesWith(id, vm.config, () => {
      return requestedAddressOf(vm.config) ?? addresses.next();
    });
    return this.#draft(vm, id, leases);
  }

  /**
   * Admits another launch of a VM, which counts against the budget until `settleLaunch`. Returns the size that was
   * admitted. Throws MEMORY_EXHAUSTED, CPU_EXHAUSTED or VM_NOT_FOUND.
   */
  admitLaunch(record: VmRecord): VmSize {
    const { budget, state } = this.#parts;
    const size = sizeOf(state.configOf(record, record.configVersion).config);
    budget.admit(record, size);
    return size;
  }

  /** Ends what `admitLaunch` began: the launch is stored, or it was given up. */
  settleLaunch(vmId: number): void {
    this.#parts.budget.settle(vmId);
  }

  /**
   * Why a VM of this config could not be launched now; null if it could. `inPlaceOf` is a VM whose share would become
   * free.
   */
  refusalOf(config: VmConfig, inPlaceOf: number | null): VolantError | null {
    return this.#parts.budget.refusal(sizeOf(config), inPlaceOf);
  }

  /** Calls the listener when a VM has released capacity of the host. Returns a function that unsubscribes. */
  onCapacityFreed(listener: () => void): () => void {
    return this.#parts.budget.subscribe(listener);
  }

  #requireFree(name: string): void {
    this.#refuseTakenName(name);
    if (this.#parts.state.vms.size + this.#reserved.size < LIMITS.vmsMax) return;
    throw new VolantError('CAPACITY_EXHAUSTED', `This daemon runs at most ${LIMITS.vmsMax} VMs`);
  }

  #draft(
    { name, config, preparation, replica, cause, deadlineSeconds }: NewVm,
    id: number,
    leases: VmLeases,
  ): Draft {
    const { clock, planner } = this.#parts;
    const nowMs = clock.nowMs();
    const egress = egressRulesOf(config);
    const record: VmRecord = {
      id,
      name,
      wanted: { state: 'running', launch: 1, cause, size: sizeOf(config) },
      // The record is stored before anything is made, so the host may have something of it from then on.
      observed: { launch: 0, attempt: 1, end: null, isReleased: false },
      status: 'starting',
      plugin: config.plugin,
      runtime: config.runtime,
      cpuCores: config.resources.cpu_cores,
      memoryMb: config.resources.memory_mb,
      kernelCmdline: '',
      networkMode: networkModeOf(config),
      leases,
      ...(egress === undefined ? {} : { egress }),
      configVersion: 1,
      launchedConfigVersion: 1,
      neverRan: true,
      driver: preparation.facts.driver,
      process: null,
      ...(deadlineSeconds === undefined
        ? {}
        : { deadline: deadlineIn(deadlineSeconds, nowMs, clock) }),
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
      ...(replica === undefined ? {} : { replica }),
    };
    const draft = planner.resolve(record, config, preparation);
    return { ...draft, record: { ...record, ...draft.facts }, config };
  }

  /** Ids are never reused. An id whose hypervisor would share its user with another VM's is skipped. */
  #nextId(): number {
    const { state } = this.#parts;
    let id = this.#lastVmId + 1;
    const isTaken = (other: number) => state.vms.hasId(other);
    while ([...idsOfSameUser(id)].some(isTaken)) id += 1;
    return id;
  }

  /**
   * Allocations for a VM with this id and config. It keeps the present address unless the config asks for another one.
   * Throws ADDRESS_POOL_EXHAUSTED, ADDRESS_TAKEN or BODY_INVALID.
   */
  leasesFor(id: number, config: VmConfig, address: string | null = null): VmLeases {
    return this.#leasesWith(id, config, () => this.#addressFor(id, config, address));
  }

  #leasesWith(id: number, config: VmConfig, address: () => string): VmLeases {
    const { hostTag } = this.#parts.config;
    return {
      ipAddress: this.#getsAddress(config) ? address() : null,
      macAddress: macAddressOf(hostTag, id),
      tapName: networkModeOf(config) === 'vsock' ? null : tapNameOf(hostTag, id),
      vsockCid: vsockCidOf(hostTag, id),
    };
  }

  /** Throws ADDRESS_TAKEN or BODY_INVALID if a VM with this id cannot have the address that its config asks for. */
  refuseAddress(id: number, config: VmConfig): void {
    const { addresses, state } = this.#parts;
    const wanted = this.#getsAddress(config) ? requestedAddressOf(config) : null;
    const refusal = wanted === null ? null : addresses.refusal(wanted, id);
    if (refusal === null) return;
    const field = 'network.ip_address';
    if (refusal.refused === 'outside') {
      const details = { [field]: `${wanted} is not an address for guests of this host` };
      throw new VolantError('BODY_INVALID', undefined, { details });
    }
    const reserved = [...this.#reserved].find(([, { id: draftId }]) => draftId === refusal.refused);
    const owner = state.find(refusal.refused)?.name ?? reserved?.[0] ?? refusal.refused;
    const why = `Address ${wanted} belongs to VM ${owner}`;
    throw new VolantError('ADDRESS_TAKEN', why, { details: { [field]: why } });
  }

  /** Whether this daemon allocates the address. An address from a foreign DHCP server is not known here. */
  #getsAddress(config: VmConfig): boolean {
    const mode = networkModeOf(config);
    return mode === 'bridged' || (mode === 'dhcp' && this.#parts.config.dhcpServer === 'dnsmasq');
  }

  #addressFor(id: number, config: VmConfig, present: string | null): string {
    const { addresses } = this.#parts;
    const wanted = requestedAddressOf(config);
    if (wanted === null) return present ?? addresses.lease(id);
    this.refuseAddress(id, config);
    addresses.claim(wanted, id);
    return wanted;
  }

  /**
   * Ends what `reserve` began. If no record was stored, this frees the address, because no removal of a record will.
   */
  settle({ record }: Draft): void {
    this.#reserved.get(record.name)?.settle();
    this.#parts.budget.settle(record.id);
    this.#reserved.delete(record.name);
    const { ipAddress } = record.leases;
    if (ipAddress === null || this.#parts.state.vms.hasId(record.id)) return;
    this.#parts.addresses.cancel(ipAddress, record.id);
  }

  #refuseTakenName(name: string): void {
    if (!this.#parts.state.vms.has(name)) return;
    throw new VolantError('VM_NAME_TAKEN', `A VM named ${name} exists`);
  }
}

function candidateOf(id: number, { preparation }: NewVm) {
  return { id, driver: preparation.facts.driver };
}

/** The share of the host that a guest of this config gets. */
export function sizeOf({ resources }: VmConfig): VmSize {
  return { memoryMb: resources.memory_mb, cpuCores: resources.cpu_cores };
}

function reservationOf(id: number): Reservation {
  let settle: () => void = () => undefined;
  const settled = new Promise<void>((resolve) => {
    settle = resolve;
  });
  return { id, settled, settle };
}
