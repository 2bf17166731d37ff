// engine, configs: the versions of a VM's config: reads them and makes new ones. A change applies to the next launch.
// Only the published ports and the egress rules of a running guest change at once.

import { isDeepStrictEqual } from 'node:util';
import { LIMITS } from '../../config/limits.ts';
import { type Clock, toTimestamp } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { EgressRules } from '../../lib/net/egress.ts';
import type { ConfigEnvelope, ConfigHistory, ConfigPatch } from '../../schema/config-patch.ts';
import { checkConfig } from '../../schema/rules/config-rules.ts';
import type { VmStatus } from '../../schema/vm.ts';
import type { VmConfig, VmConfigInput } from '../../schema/vm-config.ts';
import type { ConfigApi, DryRun, ExpectedVersion } from '../engine-api.ts';
import { otherEvent } from '../events/events.ts';
import { missingWarnings, withWarnings } from '../media/missing-files.ts';
import type { AddressPool } from '../network/addresses.ts';
import type { Egress } from '../network/egress.ts';
import { checkedManifest, manifestProblems } from '../plugins/plugins.ts';
import type { Write } from '../ports/store-ports.ts';
import type { PortPublisher } from '../published-ports/port-publisher.ts';
import { publishedPortsOf } from '../published-ports/published-ports.ts';
import type { Cause, ConfigRecord, VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import { isSameRules, withRules } from '../vm-record/record-egress.ts';
import { stateConflict } from '../vm-record/status.ts';
import type { Admission } from '../vms/admission.ts';
import { egressRulesOf, networkModeOf, requestedAddressOf } from '../vms/launch/launch-spec.ts';
import type { Operations } from '../vms/operations.ts';
import { isSameConfig, mergeConfig } from './config-merge.ts';

/** Versions of one VM share the upper bits of their ids, so ids are unique among all VMs. */
const VERSIONS_PER_VM = 2 ** 20;

/** Errors of a resolution name fields of a request; here they are renamed to those of a config. */
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
  readonly publisher: PortPublisher;
  readonly egress: Egress;
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
    // A VM without its newest config is being removed; this throws then.
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
      // Read in the change's turn: each change makes one version of the record as it is then.
      const record = state.require(vmName);
      const config = this.#changed(record, patch, expectedVersion);
      const stored = this.#stored(record);
      if (isSameConfig(stored.config, config)) return envelopeOf(record, stored);
      const { admission } = this.#parts;
      const memoryField = 'resources.memory_mb';
      const missing = await admission.requireLaunchable(config, memoryField, stored.config);
      return withWarnings(await this.#commit(record, config, cause), missingWarnings(missing));
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

  /** The config after a patch. Throws VERSION_MISMATCH, BODY_INVALID, FEATURE_UNAVAILABLE or VM_STATE_CONFLICT. */
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

  /** Refusals that depend on other VMs: PORT_TAKEN, ADDRESS_TAKEN or BODY_INVALID. */
  #refuseTaken(record: VmRecord, config: VmConfig): void {
    const { admission, publisher } = this.#parts;
    if (movesInNetwork(record, config)) admission.refuseAddress(record.id, config);
    // A VM that does not run claims its ports when it is started.
    if (IDLE.includes(record.status)) return;
    publisher.refuseTaken(record, publishedPortsOf(config, record.replica));
  }

  #resolve(merged: VmConfigInput, patch: ConfigPatch): VmConfig {
    const details: Record<string, string> = {
      ...checkConfig(merged),
      ...manifestProblems(patch.manifest, 'manifest.'),
    };
    if (patch.runtime === '') details['runtime'] = 'must not be empty';
    if (Object.keys(details).length > 0) {
      throw new VolantError('BODY_INVALID', undefined, { details });
    }
    if (!merged.manifest) throw new VolantError('INTERNAL', 'A stored config has no manifest');
    // A stored manifest was checked when it was given.
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
    const rules = egressRulesOf(config);
    const change = (latest: VmRecord): VmRecord => ({
      ...withRules(latest, rules),
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
    await this.#apply(record, config, before);
    let changed: VmRecord;
    try {
      changed = await state.update(record.id, (latest) => ({
        record: change(latest),
        writes,
        events: [event],
      }));
    } catch (error) {
      await this.#apply(record, before, config);
      if (leases.leased !== null) addresses.cancel(leases.leased, record.id);
      throw error;
    }
    if (leases.released !== null) addresses.release(leases.released);
    // A check of the network or a launch may have applied the earlier rules meanwhile.
    await this.#hold(changed, rules, egressRulesOf(before));
    return envelopeOf(changed, stored);
  }

  /**
   * Whether a launch with this config would be like the last launch. Also true if a change was reverted before a
   * restart.
   */
  #runsWith({ id, launchedConfigVersion }: VmRecord, config: VmConfig): boolean {
    const launched = this.#parts.state.store.config(id, launchedConfigVersion);
    return launched !== undefined && launchesAlike(launched.config, config);
  }

  /**
   * Published ports and egress rules are what a running guest gets at once. Throws PORT_TAKEN or HOST_OPERATION_FAILED; the
   * guest then keeps what it had.
   */
  async #apply(record: VmRecord, config: VmConfig, before: VmConfig): Promise<void> {
    if (IDLE.includes(record.status)) return;
    const { publisher } = this.#parts;
    const rulesBefore = egressRulesOf(before);
    await publisher.set(record, publishedPortsOf(config, record.replica));
    try {
      await this.#hold(record, egressRulesOf(config), rulesBefore);
    } catch (error) {
      // What cannot be undone now is undone by the next check of the network. The client gets the first error.
      await Promise.allSettled([
        publisher.set(record, publishedPortsOf(before, record.replica)),
        this.#hold(record, rulesBefore, egressRulesOf(config)),
      ]);
      throw error;
    }
  }

  /** Holds the guest to these rules. Without any, before and after, nothing has to be done. */
  async #hold(
    record: VmRecord,
    rules: EgressRules | undefined,
    before: EgressRules | undefined,
  ): Promise<void> {
    if (IDLE.includes(record.status) || isSameRules(rules, before)) return;
    await this.#parts.egress.set(record, rules);
  }

  /**
   * The allocations after a change of the network mode or the requested address: the old address is released, a new one
   * allocated.
   */
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

/** For a VM that does not run, the API shows what its next launch will have. */
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

/** Whether the VM needs another address than it has, or none. */
function movesInNetwork(record: VmRecord, config: VmConfig): boolean {
  const wanted = requestedAddressOf(config);
  if (networkModeOf(config) !== record.networkMode) return true;
  return wanted !== null && wanted !== record.leases.ipAddress;
}

/** Whether the last launch had the newest config. */
function isCurrent({ launchedConfigVersion, configVersion }: VmRecord): boolean {
  return launchedConfigVersion === configVersion;
}

/** What a guest is started with of it; undefined when that is nothing. */
function withoutLiveParts(network: VmConfig['network']): object | undefined {
  const { expose: _expose, egress: _egress, ...rest } = network ?? {};
  return Object.keys(rest).length === 0 ? undefined : rest;
}

/** Whether the configs differ only in members that need no new launch. */
function launchesAlike(one: VmConfig, other: VmConfig): boolean {
  const launched = ({
    expose: _expose,
    metadata: _metadata,
    stop_grace_seconds: _stopGrace,
    autostart: _autostart,
    network,
    ...rest
  }: VmConfig) => ({ ...rest, network: withoutLiveParts(network) });
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
