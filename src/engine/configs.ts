// engine: the versions of a VM's config: showing them, and making a new one. A change is for the next
// launch; of what a running guest has only the ports of the host change at once.

import { isDeepStrictEqual } from 'node:util';
import { LIMITS } from '../config.ts';
import { type Clock, toTimestamp } from '../lib/clock.ts';
import { VolantError } from '../lib/errors.ts';
import type { ConfigEnvelope, ConfigHistory, ConfigPatch } from '../schema/config-patch.ts';
import { checkConfig } from '../schema/config-rules.ts';
import type { VmStatus } from '../schema/vm.ts';
import type { VmConfig, VmConfigInput } from '../schema/vm-config.ts';
import type { AddressPool } from './addresses.ts';
import type { ConfigApi, DryRun, ExpectedVersion } from './engine-api.ts';
import { otherEvent } from './events.ts';
import { exposedPortsOf } from './exposures/exposed-ports.ts';
import type { Exposures } from './exposures/exposures.ts';
import { checkedManifest } from './plugins.ts';
import type { Cause, ConfigRecord, VmRecord } from './records.ts';
import type { State } from './state.ts';
import type { Write } from './store-ports.ts';
import type { Admission } from './vms/admission.ts';
import { isSameConfig, mergeConfig } from './vms/config-merge.ts';
import { networkModeOf, requestedAddressOf } from './vms/launch-spec.ts';
import type { Operations } from './vms/operations.ts';
import { stateConflict } from './vms/status.ts';

/** Versions of one VM share the upper bits, so that an id is unique among all VMs. */
const VERSIONS_PER_VM = 2 ** 20;

/** Resolution names fields of a request; in a config they stand elsewhere. */
const FIELD_OF: Readonly<Record<string, string>> = {
  cpu_cores: 'resources.cpu_cores',
  memory_mb: 'resources.memory_mb',
  api_host: 'api.host',
  api_port: 'api.port',
};

const IDLE: readonly VmStatus[] = ['stopped', 'crashed'];

export interface ConfigsParts {
  readonly state: State;
  readonly admission: Admission;
  readonly addresses: AddressPool;
  readonly exposures: Exposures;
  readonly operations: Operations;
  readonly clock: Clock;
}

export class Configs implements ConfigApi {
  readonly #parts: ConfigsParts;

  constructor(parts: ConfigsParts) {
    this.#parts = parts;
  }

  get(vmName: string): ConfigEnvelope {
    const record = this.#parts.state.require(vmName);
    return envelopeOf(record, this.#stored(record));
  }

  history(vmName: string, limit?: number): ConfigHistory {
    const { state } = this.#parts;
    const record = state.require(vmName);
    const { id } = record;
    // The newest is always there, or the VM is gone.
    state.configOf(record, record.configVersion);
    const count = Math.min(limit || LIMITS.configVersionsMax, LIMITS.configVersionsMax);
    return state.store.configs(id, count).map(({ version, updatedAtMs, config }) => ({
      id: id * VERSIONS_PER_VM + version,
      version,
      updated_at: toTimestamp(updatedAtMs),
      config,
    }));
  }

  async patch(
    vmName: string,
    patch: ConfigPatch,
    expectedVersion?: ExpectedVersion,
    cause?: Cause,
  ): Promise<ConfigEnvelope> {
    const { state, operations } = this.#parts;
    const { id } = state.require(vmName);
    const change = async () => {
      // The record as it is when the change's turn has come: one change is one version.
      const record = state.require(vmName);
      const config = this.#changed(record, patch, expectedVersion);
      const stored = this.#stored(record);
      if (isSameConfig(stored.config, config)) return envelopeOf(record, stored);
      await this.#parts.admission.requireMemory(config, 'resources.memory_mb');
      return this.#commit(record, config, cause);
    };
    return operations.run(id, change, LIMITS.configPatchesPerVmMax);
  }

  planPatch(
    vmName: string,
    patch: ConfigPatch,
    expectedVersion?: ExpectedVersion,
  ): DryRun & ConfigEnvelope {
    const record = this.#parts.state.require(vmName);
    const config = this.#changed(record, patch, expectedVersion);
    this.#refuseTaken(record, config);
    const isNew = !isSameConfig(this.#stored(record).config, config);
    const version = record.configVersion + (isNew ? 1 : 0);
    const subject = `${vmName} version ${version}`;
    return {
      dry_run: true,
      actions: isNew ? [{ action: 'config.write', subject }] : [],
      version,
      updated_at: toTimestamp(this.#parts.clock.nowMs()),
      pending_restart: !IDLE.includes(record.status) && !this.#runsWith(record, config),
      config,
    };
  }

  /** The new config. VERSION_MISMATCH, BODY_INVALID, FEATURE_UNAVAILABLE, VM_STATE_CONFLICT. */
  #changed(
    record: VmRecord,
    patch: ConfigPatch,
    expectedVersion: ExpectedVersion | undefined,
  ): VmConfig {
    const { configVersion } = record;
    const expected = expectedVersion ?? patch.expected_version;
    if (expected !== undefined && ![expected].flat().includes(configVersion)) {
      const others = [expected].flat().join(' or ') || 'what If-Match names';
      const why = `The config of ${record.name} has version ${configVersion}, not ${others}`;
      const details = { version: String(record.configVersion) };
      throw new VolantError('VERSION_MISMATCH', why, { details });
    }
    const merged = mergeConfig(this.#stored(record).config, patch);
    const config = this.#resolve(merged, patch);
    if (movesInNetwork(record, config) && !IDLE.includes(record.status)) {
      const why = 'must be stopped before its network mode or its address changes';
      throw stateConflict(record.name, record.status, why);
    }
    return config;
  }

  /** What a change would be refused for beside its own faults: PORT_TAKEN, ADDRESS_TAKEN, BODY_INVALID. */
  #refuseTaken(record: VmRecord, config: VmConfig): void {
    const { admission, exposures } = this.#parts;
    if (movesInNetwork(record, config)) admission.refuseAddress(record.id, config);
    // One that does not run asks for its ports when it is started.
    if (IDLE.includes(record.status)) return;
    exposures.refuseTaken(record, exposedPortsOf(config, record.replica));
  }

  #resolve(merged: VmConfigInput, patch: ConfigPatch): VmConfig {
    const details: Record<string, string> = { ...checkConfig(merged) };
    if (patch.runtime === '') details['runtime'] = 'must not be empty';
    if (Object.keys(details).length > 0) {
      throw new VolantError('BODY_INVALID', undefined, { details });
    }
    if (!merged.manifest) throw new VolantError('INTERNAL', 'A stored config has no manifest');
    // What is stored was checked when it came.
    const manifest = patch.manifest
      ? checkedManifest(patch.manifest, 'manifest.')
      : (merged.manifest as VmConfig['manifest']);
    try {
      return this.#parts.admission.configOf({ config: merged }, manifest);
    } catch (error) {
      throw withConfigFields(error);
    }
  }

  async #commit(
    record: VmRecord,
    config: VmConfig,
    cause: Cause | undefined,
  ): Promise<ConfigEnvelope> {
    const { state, clock, addresses } = this.#parts;
    const nowMs = clock.nowMs();
    const version = record.configVersion + 1;
    const before = this.#stored(record).config;
    const stored: ConfigRecord = { vmId: record.id, version, config, updatedAtMs: nowMs };
    const leases = this.#leasesAfter(record, config, nowMs);
    const change = (latest: VmRecord): VmRecord => ({
      ...latest,
      ...(IDLE.includes(record.status) ? nextLaunch(config) : {}),
      leases: leases.after,
      networkMode: networkModeOf(config),
      configVersion: version,
      ...(this.#runsWith(record, config) ? { launchedConfigVersion: version } : {}),
      updatedAtMs: nowMs,
    });
    const writes: Write[] = [
      { table: 'configs', key: [record.id, version], value: stored },
      ...leases.writes,
    ];
    const forgotten = version - LIMITS.configVersionsMax;
    if (forgotten > 0) {
      writes.push({ table: 'configs', key: [record.id, forgotten], value: null });
    }
    const { name, status, replica } = record;
    const subject = replica === undefined ? {} : { deployment: replica.deployment };
    const event = otherEvent(
      'CONFIG_CHANGED',
      { name, status, ...subject },
      nowMs,
      `Version ${version}`,
      cause,
    );
    await this.#expose(record, config);
    let changed: VmRecord;
    try {
      changed = await state.update(record.id, (latest) => ({
        record: change(latest),
        writes,
        events: [event],
      }));
    } catch (error) {
      await this.#expose(record, before);
      if (leases.leased !== null) addresses.cancel(leases.leased, record.id);
      throw error;
    }
    if (leases.released !== null) addresses.release(leases.released);
    return envelopeOf(changed, stored);
  }

  /** A launch with this config would be as the last one was; also where a change is taken back before it had its restart. */
  #runsWith({ id, launchedConfigVersion }: VmRecord, config: VmConfig): boolean {
    const launched = this.#parts.state.store.config(id, launchedConfigVersion);
    return launched !== undefined && launchesAlike(launched.config, config);
  }

  /** Ports are the one thing that a running guest gets at once. PORT_TAKEN. */
  async #expose(record: VmRecord, config: VmConfig): Promise<void> {
    if (IDLE.includes(record.status)) return;
    await this.#parts.exposures.set(record, exposedPortsOf(config, record.replica));
  }

  /** A change of the network mode or of the address that is asked for: the old one is given back, a new one leased. */
  #leasesAfter(record: VmRecord, config: VmConfig, nowMs: number) {
    const before = record.leases;
    if (!movesInNetwork(record, config)) {
      return { after: before, writes: [], leased: null, released: null };
    }
    const after = this.#parts.admission.leasesFor(record.id, config, before.ipAddress);
    if (after.ipAddress === before.ipAddress) {
      return { after, writes: [], leased: null, released: null };
    }
    const writes: Write[] = [];
    if (before.ipAddress !== null) {
      const value = { vmId: null, releasedAtMs: nowMs };
      writes.push({ table: 'addresses', key: before.ipAddress, value });
    }
    if (after.ipAddress !== null) {
      const value = { vmId: record.id, releasedAtMs: null };
      writes.push({ table: 'addresses', key: after.ipAddress, value });
    }
    return { after, writes, leased: after.ipAddress, released: before.ipAddress };
  }

  #stored(record: VmRecord): ConfigRecord {
    return this.#parts.state.configOf(record, record.configVersion);
  }
}

/** What the API shows of a VM that does not run is what its next launch will have. */
function nextLaunch({ runtime, resources }: VmConfig): Partial<VmRecord> {
  return { runtime, cpuCores: resources.cpu_cores, memoryMb: resources.memory_mb };
}

function envelopeOf(record: VmRecord, stored: ConfigRecord): ConfigEnvelope {
  const { version, updatedAtMs, config } = stored;
  return {
    version,
    updated_at: toTimestamp(updatedAtMs),
    config,
    pending_restart: !IDLE.includes(record.status) && !isCurrent(record),
  };
}

/** It needs another address than it has, or none. */
function movesInNetwork(record: VmRecord, config: VmConfig): boolean {
  const wanted = requestedAddressOf(config);
  if (networkModeOf(config) !== record.networkMode) return true;
  return wanted !== null && wanted !== record.leases.ipAddress;
}

/** The VM has what its newest config says. */
function isCurrent({ launchedConfigVersion, configVersion }: VmRecord): boolean {
  return launchedConfigVersion === configVersion;
}

/** They differ in nothing that a guest must be started anew for. */
function launchesAlike(one: VmConfig, other: VmConfig): boolean {
  const launched = ({
    expose: _expose,
    metadata: _metadata,
    stop_grace_seconds: _stopGrace,
    autostart: _autostart,
    ...rest
  }: VmConfig) => rest;
  return isDeepStrictEqual(launched(one), launched(other));
}

function withConfigFields(error: unknown): unknown {
  if (!(error instanceof VolantError) || error.details === undefined) return error;
  const renamed = Object.entries(error.details).map(([field, problem]) => [
    FIELD_OF[field] ?? field,
    problem,
  ]);
  return new VolantError(error.code, error.title, { details: Object.fromEntries(renamed) });
}
