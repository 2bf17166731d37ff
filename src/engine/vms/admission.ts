// engine: what a new VM gets before anything is made: its config, its id, its name and its leases. All
// of it is in memory; writing it down is vms.ts' business.

import { type Config, LIMITS } from '../../config.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Manifest } from '../../schema/manifest.ts';
import type { CreateVmRequest } from '../../schema/vm.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import type { AddressPool } from '../addresses.ts';
import type { Budget } from '../budget/budget.ts';
import type { VmSize } from '../budget/rules.ts';
import { exposedPortsOf, replicaPortProblems, replicaPortsOf } from '../exposures/exposed-ports.ts';
import type { Exposures } from '../exposures/exposures.ts';
import { idsOfSameUser, macAddressOf, tapNameOf, vsockCidOf } from '../identity.ts';
import type { Cause, ReplicaOf, VmLeases, VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import type { LaunchDraft, LaunchPlanner, LaunchPreparation } from './launch-planner.ts';
import { networkModeOf, requestedAddressOf, resolveConfig } from './launch-spec.ts';

/** A VM that has its name and its leases, but nothing in the world or on disk yet. */
export interface Draft extends LaunchDraft {
  readonly record: VmRecord;
  readonly config: VmConfig;
}

/** A create that a deployment asks for: its manifest was settled when the deployment was made. */
export interface ReplicaOrigin {
  readonly replica: ReplicaOf;
  readonly manifest: Manifest;
}

/** What a new VM is made from. */
export interface NewVm {
  readonly name: string;
  readonly config: VmConfig;
  readonly preparation: LaunchPreparation;
  readonly replica: ReplicaOf | undefined;
  readonly cause: Cause;
}

/** A name that nobody else gets until it is known whether its VM exists. */
interface Reservation {
  readonly id: number;
  /** Resolves when that is known. */
  readonly settled: Promise<void>;
  readonly settle: () => void;
}

export interface AdmissionParts {
  readonly config: Config;
  readonly state: State;
  readonly planner: LaunchPlanner;
  readonly addresses: AddressPool;
  readonly exposures: Exposures;
  readonly budget: Budget;
  readonly clock: Clock;
  readonly lastVmId: number;
  /** The manifest that a request means: PLUGIN_NOT_FOUND, PLUGIN_DISABLED, PLUGIN_MISMATCH, BODY_INVALID. */
  readonly manifestFor: (request: CreateVmRequest) => Manifest;
}

export class Admission {
  readonly #parts: AdmissionParts;
  /** Creates whose record is not on disk yet, by name. */
  readonly #reserved = new Map<string, Reservation>();
  #lastVmId: number;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
    this.#lastVmId = parts.lastVmId;
  }

  /** The highest id that was given so far. */
  get lastVmId(): number {
    return this.#lastVmId;
  }

  /** VM_NAME_TAKEN, PORT_TAKEN, or what is wrong with the request. */
  resolve(
    request: CreateVmRequest,
    origin?: ReplicaOrigin,
  ): { readonly config: VmConfig; readonly replica: ReplicaOf | undefined } {
    this.#refuseTakenName(request.name);
    const manifest = origin?.manifest ?? this.#parts.manifestFor(request);
    const config = this.configOf(request, manifest);
    const replica = origin?.replica;
    this.#parts.exposures.refuseTaken(
      { name: request.name, replica },
      exposedPortsOf(config, replica),
    );
    return { config, replica };
  }

  /** The complete config of a request. BODY_INVALID, FEATURE_UNAVAILABLE, CMDLINE_TOO_LONG. */
  configOf(request: Omit<CreateVmRequest, 'name'>, manifest: Manifest): VmConfig {
    const { advertise } = this.#parts.config;
    return resolveConfig(request, manifest, {
      apiHost: advertise.host,
      apiPort: advertise.port,
      cpuCoresMax: LIMITS.cpuCoresMax,
      memoryMbMin: LIMITS.memoryMbMin,
      memoryMbMax: LIMITS.memoryMbMax,
      kernelCmdlineBytesMax: LIMITS.kernelCmdlineBytesMax,
    });
  }

  /** BODY_INVALID, about this field, where no guest of this config could boot in its memory. */
  requireMemory(config: VmConfig, field: string): Promise<void> {
    return this.#parts.planner.requireMemory(config, field);
  }

  /** Ports of all replicas of a deployment. PORT_TAKEN; BODY_INVALID where they overlap or are too many. */
  requireReplicaPorts(deployment: string, replicas: number, config: VmConfig): void {
    const details = replicaPortProblems(config, replicas);
    if (Object.keys(details).length > 0) {
      throw new VolantError('BODY_INVALID', undefined, { details });
    }
    // Of no revision yet: what its replicas have now they keep until they are replaced.
    const owner = { name: deployment, replica: { deployment, revision: 0 } };
    this.#parts.exposures.refuseTaken(owner, replicaPortsOf(config, replicas));
  }

  /**
   * Name, id and leases for a new VM. Where another create has the name and is not on disk yet, this waits for it: a name
   * is taken when its VM can be seen, and not before. VM_NAME_TAKEN, CAPACITY_EXHAUSTED, MEMORY_EXHAUSTED, CPU_EXHAUSTED,
   * ADDRESS_POOL_EXHAUSTED, CMDLINE_TOO_LONG.
   */
  async reserve(vm: NewVm): Promise<Draft> {
    const { addresses, budget } = this.#parts;
    while (this.#reserved.has(vm.name)) await this.#reserved.get(vm.name)?.settled;
    // From here to the end nothing waits: two creates of one name cannot both pass.
    this.#requireRoom(vm.name);
    const id = this.#nextId();
    budget.require(askingOf(id, vm), sizeOf(vm.config));
    const leases = this.leasesFor(id, vm.config);
    try {
      const draft = this.#draft(vm, id, leases);
      this.#reserved.set(vm.name, reservationOf(id));
      this.#lastVmId = id;
      budget.admit(askingOf(id, vm), sizeOf(vm.config));
      return draft;
    } catch (error) {
      if (leases.ipAddress !== null) addresses.cancel(leases.ipAddress, id);
      throw error;
    }
  }

  /** What `reserve` would give now, or its error. Nothing is taken: the next VM gets the same. */
  async foresee(vm: NewVm): Promise<Draft> {
    const { addresses, budget } = this.#parts;
    while (this.#reserved.has(vm.name)) await this.#reserved.get(vm.name)?.settled;
    this.#requireRoom(vm.name);
    const id = this.#nextId();
    budget.require(askingOf(id, vm), sizeOf(vm.config));
    this.refuseAddress(id, vm.config);
    const leases = this.#leasesWith(id, vm.config, () => {
      return requestedAddressOf(vm.config) ?? addresses.next();
    });
    return this.#draft(vm, id, leases);
  }

  /**
   * Another launch of a VM, counted until `settleLaunch`; what it is admitted with. MEMORY_EXHAUSTED, CPU_EXHAUSTED,
   * VM_NOT_FOUND.
   */
  admitLaunch(record: VmRecord): VmSize {
    const { budget, state } = this.#parts;
    const size = sizeOf(state.configOf(record, record.configVersion).config);
    budget.admit(record, size);
    return size;
  }

  /** It is written down, or nothing came of it. */
  settleLaunch(vmId: number): void {
    this.#parts.budget.settle(vmId);
  }

  /** Why no VM of this config would be launched now, in the place of this one where it is given; null: it would be. */
  refusalOf(config: VmConfig, inPlaceOf: number | null): VolantError | null {
    return this.#parts.budget.refusal(sizeOf(config), inPlaceOf);
  }

  /** Called when a VM has given back what it took of the host. Returns how to end that. */
  onRoom(listener: () => void): () => void {
    return this.#parts.budget.subscribe(listener);
  }

  #requireRoom(name: string): void {
    this.#refuseTakenName(name);
    if (this.#parts.state.vms.size + this.#reserved.size < LIMITS.vmsMax) return;
    throw new VolantError('CAPACITY_EXHAUSTED', `This daemon runs at most ${LIMITS.vmsMax} VMs`);
  }

  #draft(
    { name, config, preparation, replica, cause }: NewVm,
    id: number,
    leases: VmLeases,
  ): Draft {
    const { clock, planner } = this.#parts;
    const nowMs = clock.nowMs();
    const record: VmRecord = {
      id,
      name,
      wanted: { state: 'running', launch: 1, cause, size: sizeOf(config) },
      // Written down before anything is made: from then on the host may have something of it.
      observed: { launch: 0, attempt: 1, end: null, isReleased: false },
      status: 'starting',
      plugin: config.plugin,
      runtime: config.runtime,
      cpuCores: config.resources.cpu_cores,
      memoryMb: config.resources.memory_mb,
      kernelCmdline: '',
      networkMode: networkModeOf(config),
      leases,
      configVersion: 1,
      launchedConfigVersion: 1,
      neverRan: true,
      driver: preparation.facts.driver,
      process: null,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
      ...(replica === undefined ? {} : { replica }),
    };
    const draft = planner.resolve(record, config, preparation);
    return { ...draft, record: { ...record, ...draft.facts }, config };
  }

  /** Ids are never used again; one whose hypervisor would have the user of another VM's is left out. */
  #nextId(): number {
    const { state } = this.#parts;
    let id = this.#lastVmId + 1;
    const isTaken = (other: number) => state.find(other) !== undefined;
    while ([...idsOfSameUser(id)].some(isTaken)) id += 1;
    return id;
  }

  /**
   * Leases of a VM with this id and config; an address that it has already it keeps, unless it asks for another.
   * ADDRESS_POOL_EXHAUSTED, ADDRESS_TAKEN, BODY_INVALID.
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

  /** ADDRESS_TAKEN, BODY_INVALID when a VM with this id cannot have the address that the config asks for. */
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
    const drafts = [...this.#reserved].find(([, { id: draftId }]) => draftId === refusal.refused);
    const owner = state.find(refusal.refused)?.name ?? drafts?.[0] ?? refusal.refused;
    const why = `Address ${wanted} belongs to VM ${owner}`;
    throw new VolantError('ADDRESS_TAKEN', why, { details: { [field]: why } });
  }

  /** From us: one that another's DHCP server gives is not known here. */
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

  /** What never reached the disk has no record whose removal would free its address. */
  settle({ record }: Draft): void {
    this.#reserved.get(record.name)?.settle();
    this.#parts.budget.settle(record.id);
    this.#reserved.delete(record.name);
    const { ipAddress } = record.leases;
    if (ipAddress === null || this.#parts.state.find(record.id) !== undefined) return;
    this.#parts.addresses.cancel(ipAddress, record.id);
  }

  #refuseTakenName(name: string): void {
    if (this.#parts.state.vms.body(name) === undefined) return;
    throw new VolantError('VM_NAME_TAKEN', `A VM named ${name} exists`);
  }
}

function askingOf(id: number, { preparation }: NewVm) {
  return { id, driver: preparation.facts.driver };
}

/** What a guest of this config is given. */
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
