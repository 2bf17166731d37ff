// engine, plugins: the installed plugins, and which manifest a request uses.

import { LIMITS } from '../../config/limits.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Problems } from '../../lib/formats/member-path.ts';
import type { Manifest, ManifestInput } from '../../schema/manifest.ts';
import {
  checkApi,
  checkConfig,
  checkKernelCmdline,
  checkResources,
} from '../../schema/rules/config-rules.ts';
import { normaliseManifest } from '../../schema/rules/manifest-rules.ts';
import type { CreateVmRequest } from '../../schema/vm.ts';
import type { PluginApi } from '../engine-api.ts';
import { type OtherEventType, otherEvent } from '../events/events.ts';
import type { BootMemory } from '../media/boot-memory.ts';
import { mediaPlanOf } from '../media/media-plan.ts';
import type { Cause, PluginRecord } from '../records.ts';
import type { State } from '../state/state.ts';

const MANIFEST_INVALID = 'The manifest is not valid';

export class Plugins implements PluginApi {
  readonly #state: State;
  readonly #clock: Clock;
  readonly #bootMemory: Pick<BootMemory, 'requireFor'>;
  readonly #byName = new Map<string, PluginRecord>();

  constructor(
    state: State,
    clock: Clock,
    bootMemory: Pick<BootMemory, 'requireFor'>,
    records: readonly PluginRecord[],
  ) {
    this.#state = state;
    this.#clock = clock;
    this.#bootMemory = bootMemory;
    for (const record of records) this.#byName.set(record.manifest.name, record);
  }

  list(): readonly string[] {
    return [...this.#byName.keys()].sort();
  }

  get(name: string): Manifest {
    return this.#require(name).manifest;
  }

  /** The record of a plugin; undefined if it is not installed. */
  recordOf(name: string): PluginRecord | undefined {
    return this.#byName.get(name);
  }

  enabledManifest(name: string): Manifest {
    const { manifest, enabled } = this.#require(name);
    if (!enabled) throw new VolantError('PLUGIN_DISABLED', `Plugin ${name} is disabled`);
    return manifest;
  }

  /** false for a plugin that is not installed, because VMs outlive their plugin. */
  isDisabled(name: string): boolean {
    return this.#byName.get(name)?.enabled === false;
  }

  /** Installs or replaces a plugin. VMs keep the manifest that they were created with. Throws BODY_INVALID. */
  async install(input: ManifestInput, cause?: Cause): Promise<void> {
    const manifest = checkedManifest(input, '');
    const { memory_mb } = manifest.resources;
    const plan = mediaPlanOf({ manifest, resources: manifest.resources });
    await this.#bootMemory.requireFor(memory_mb, plan, 'resources.memory_mb');
    await this.#install(manifest, cause);
  }

  /**
   * Installs a built-in plugin without checking its memory: at the first start there may be no hypervisor and no kernel
   * yet.
   */
  async installBuiltin(input: ManifestInput): Promise<void> {
    await this.#install(checkedManifest(input, ''));
  }

  async #install(manifest: Manifest, cause?: Cause): Promise<void> {
    const record = { manifest, enabled: manifest.enabled, installedAtMs: this.#clock.nowMs() };
    await this.#put(record, 'PLUGIN_INSTALLED', cause, `Version ${manifest.version}`);
  }

  async remove(name: string, cause?: Cause): Promise<void> {
    this.#require(name);
    const subject = { name, status: 'removed' };
    const gone = otherEvent('PLUGIN_REMOVED', subject, this.#clock.nowMs(), undefined, cause);
    await this.#state.commit([{ table: 'plugins', key: name, value: null }], [gone]);
    this.#byName.delete(name);
  }

  async setEnabled(name: string, enabled: boolean, cause?: Cause): Promise<void> {
    const record = this.#require(name);
    const changed = { ...record, enabled, manifest: { ...record.manifest, enabled } };
    await this.#put(changed, enabled ? 'PLUGIN_ENABLED' : 'PLUGIN_DISABLED', cause);
  }

  /**
   * The manifest that a new VM is made from: the config's own, for which no plugin needs to be installed, or the plugin's.
   * Throws BODY_INVALID with every field that breaks a rule, PLUGIN_MISMATCH, PLUGIN_NOT_FOUND or PLUGIN_DISABLED.
   */
  manifestFor(request: CreateVmRequest): Manifest {
    checkRequest(request);
    const given = request.config ?? {};
    // Without a plugin, the runtime names it. The oldest clients know no other member.
    const runtime = request.runtime || given.runtime;
    const named = request.plugin || given.plugin || given.manifest?.name || runtime;
    if (!named) {
      throw new VolantError('BODY_INVALID', undefined, { details: { plugin: 'is required' } });
    }
    for (const other of [given.plugin, given.manifest?.name]) {
      if (!other || other.toLowerCase() === named.toLowerCase()) continue;
      throw new VolantError(
        'PLUGIN_MISMATCH',
        `The request names plugin ${named}, its config ${other}`,
      );
    }
    const plugin = given.plugin || named;
    if (!given.manifest) return this.enabledManifest(plugin);
    if (this.isDisabled(plugin)) {
      throw new VolantError('PLUGIN_DISABLED', `Plugin ${plugin} is disabled`);
    }
    return checkedManifest(given.manifest, 'config.manifest.');
  }

  async #put(
    record: PluginRecord,
    type: OtherEventType,
    cause: Cause | undefined,
    message?: string,
  ): Promise<void> {
    const { name } = record.manifest;
    const subject = { name, status: record.enabled ? 'enabled' : 'disabled' };
    const event = otherEvent(type, subject, this.#clock.nowMs(), message, cause);
    await this.#state.commit([{ table: 'plugins', key: name, value: record }], [event]);
    this.#byName.set(name, record);
  }

  #require(name: string): PluginRecord {
    const record = this.#byName.get(name);
    if (record !== undefined) return record;
    throw new VolantError('PLUGIN_NOT_FOUND', `There is no plugin named ${name}`);
  }
}

/** The manifest in its stored form. Throws BODY_INVALID with every field that breaks a rule, below the prefix. */
export function checkedManifest(input: ManifestInput, prefix: string): Manifest {
  const result = normaliseManifest(input, LIMITS);
  if ('manifest' in result) return result.manifest;
  throw new VolantError('BODY_INVALID', MANIFEST_INVALID, {
    details: prefixed(result.problems, prefix),
  });
}

/** Every field of a manifest that breaks a rule, below the prefix; none where there is no manifest. */
export function manifestProblems(
  input: ManifestInput | null | undefined,
  prefix: string,
): Problems {
  if (!input) return {};
  const result = normaliseManifest(input, LIMITS);
  return 'manifest' in result ? {} : prefixed(result.problems, prefix);
}

/** Every field of a request that breaks a rule by itself, its manifest included. */
export function requestProblems(request: CreateVmRequest): Problems {
  const details: Record<string, string> = {
    ...checkResources(request, ''),
    ...checkApi(request.api_host, request.api_port, ['api_host', 'api_port']),
  };
  const cmdline = checkKernelCmdline(request.kernel_cmdline ?? '');
  if (cmdline !== null) details['kernel_cmdline'] = cmdline;
  if (request.config) Object.assign(details, prefixed(checkConfig(request.config), 'config.'));
  return { ...details, ...manifestProblems(request.config?.manifest, 'config.manifest.') };
}

function checkRequest(request: CreateVmRequest): void {
  const details = requestProblems(request);
  const paths = Object.keys(details);
  if (paths.length === 0) return;
  const isOfManifest = paths.every((path) => path.startsWith('config.manifest.'));
  throw new VolantError('BODY_INVALID', isOfManifest ? MANIFEST_INVALID : undefined, { details });
}

/** The same problems with a prefix before each path. */
export function prefixed(problems: Readonly<Record<string, string>>, prefix: string) {
  return Object.fromEntries(
    Object.entries(problems).map(([path, problem]) => [`${prefix}${path}`, problem]),
  );
}
