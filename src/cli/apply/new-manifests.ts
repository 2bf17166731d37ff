// cli, apply: dry runs that need a plugin which is not installed yet, or is about to change. The API has no dry run for
// plugins, but a VM's config may contain a manifest, which is checked by the same rules. So the manifest of a document is
// checked as that of a VM that is not created. For a daemon of an earlier version that VM needs an installed plugin: another
// plugin lends its name.

import { randomUUID } from 'node:crypto';
import type { VolantClient } from '../../client/client.ts';
import { ApiError } from '../../client/errors.ts';
import type { CreateVmRequest, DryRun, ManifestInput, VmConfigInput } from '../../client/types.ts';
import { isObject } from './members.ts';

/** In a request for a VM or a replica, the plugin's manifest is here. */
const INSIDE = 'config.manifest.';

type Request = Pick<CreateVmRequest, 'plugin' | 'runtime' | 'config'>;

export class NewManifests {
  readonly #client: VolantClient;
  /** By name: plugins of the documents that will be installed. */
  readonly #manifests = new Map<string, ManifestInput>();
  #enabled: Promise<readonly string[]> | undefined;

  constructor(client: VolantClient) {
    this.#client = client;
  }

  /**
   * The manifest as it would be stored; undefined if no dry run can show it. Throws ApiError with the paths of the manifest
   * if the daemon would refuse it.
   */
  async check(manifest: ManifestInput & { name: string }): Promise<object | undefined> {
    // A plugin that is not enabled serves nobody.
    if (manifest.enabled !== false) this.#manifests.set(manifest.name, manifest);
    const lender = await this.#lenderOf(manifest.name);
    if (lender === undefined) return undefined;
    const config = { manifest: renamed(manifest, manifest.name, lender) };
    const plan = await this.#planVm(manifest.name, { plugin: lender, config });
    return plan?.config && (restored(plan.config, lender, manifest.name).manifest ?? undefined);
  }

  /**
   * Asks for the plan of a request with the manifest that its plugin will have. Returns undefined if that is impossible.
   * Throws ApiError without the problems of that manifest, which belong to another document.
   */
  async plan<R extends Request, P extends DryRun>(
    request: R,
    ask: (request: R) => Promise<P>,
  ): Promise<P | undefined> {
    const name = pluginOf(request);
    const coming = name === undefined ? undefined : this.#manifests.get(name);
    if (name === undefined || coming === undefined) return ask(request);
    const lender = await this.#lenderOf(name);
    if (lender === undefined) return undefined;
    const own = request.config?.manifest;
    // Another name in the manifest or beside the config is an error that the daemon is to find.
    const isName = (given: unknown) => String(given).toLowerCase() === name.toLowerCase();
    const isOther = Boolean(own?.name) && !isName(own?.name);
    const manifest =
      isOther || (own && !isObject(own)) ? own : renamed(own ?? coming, name, lender);
    const config = { ...request.config, plugin: lender, manifest };
    const isOwn = Boolean(own);
    try {
      const named = isName(request.plugin) ? { plugin: lender } : {};
      const plan = await ask({ ...request, ...named, config });
      return plan.config === undefined
        ? plan
        : { ...plan, config: restored(plan.config, lender, name) };
    } catch (error) {
      if (isOwn || !(error instanceof ApiError) || error.code !== 'BODY_INVALID') throw error;
      const rest = Object.entries(error.details).filter(([path]) => !path.startsWith(INSIDE));
      if (rest.length === 0) return undefined;
      throw withDetails(error, Object.fromEntries(rest));
    }
  }

  async #planVm(name: string, request: Omit<CreateVmRequest, 'name'>): Promise<DryRun | undefined> {
    try {
      return await this.#client.vms.planCreate({ ...request, name });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // Names of VMs and plugins follow one rule; a name in use is valid.
      if (error.code === 'VM_NAME_TAKEN') {
        return this.#planVm(`check-${randomUUID().slice(0, 8)}`, request);
      }
      if (error.code !== 'BODY_INVALID') {
        // The refusal is about a VM or the host: no room, no kernel, an image that is not there yet.
        if (error.status === 401 || error.code === 'SCOPE_FORBIDDEN') throw error;
        return undefined;
      }
      const details = Object.entries(error.details).map(([path, text]) => [
        path.startsWith(INSIDE)
          ? path.slice(INSIDE.length)
          : path.replace(/^(memory_mb|cpu_cores)$/, 'resources.$1'),
        text,
      ]);
      throw withDetails(error, Object.fromEntries(details));
    }
  }

  /** The plugin itself if it can be used, or else any other. */
  async #lenderOf(name: string): Promise<string | undefined> {
    this.#enabled ??= this.#client.system
      .summary()
      .then(({ plugins }) => plugins.filter(({ enabled }) => enabled).map((one) => one.name));
    const enabled = await this.#enabled;
    return enabled.includes(name) ? name : enabled[0];
  }
}

/** The plugin that a request names, as the daemon finds it. */
function pluginOf({ plugin, runtime, config }: Request): string | undefined {
  return (
    config?.plugin || plugin || config?.manifest?.name || runtime || config?.runtime || undefined
  );
}

/** The manifest under the name of the lender. Its runtime is by default its own name. */
function renamed(manifest: ManifestInput, name: string, lender: string): ManifestInput {
  return { ...manifest, name: lender, runtime: manifest.runtime || name };
}

function restored(config: VmConfigInput, lender: string, name: string): VmConfigInput {
  const { manifest } = config;
  return {
    ...config,
    ...(config.plugin === lender ? { plugin: name } : {}),
    ...(isObject(manifest) ? { manifest: { ...manifest, name } } : {}),
  } as VmConfigInput;
}

function withDetails(error: ApiError, details: Readonly<Record<string, string>>): ApiError {
  const body = { error: error.message, code: error.code, details };
  return new ApiError(error.status, body, error.retryAfterSeconds, error.requestId);
}
