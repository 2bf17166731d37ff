// cli: what `apply` does for one document: make what it describes, change it, or leave it alone.

import type { VolantClient } from '../client/client.ts';
import { ApiError } from '../client/errors.ts';
import type {
  ConfigPatch,
  CreateDeploymentRequest,
  CreateVmRequest,
  Deployment,
  DryRun,
  ManifestInput,
  PatchDeploymentRequest,
  WaitOptions,
} from '../client/types.ts';
import { asObject } from './arguments.ts';
import { UsageError } from './exit.ts';

export const KINDS = ['VM', 'Deployment', 'Plugin'] as const;
export type Kind = (typeof KINDS)[number];

/** One thing as it shall be: the members of the API's request for it, beside its kind. */
export interface Document {
  readonly kind: Kind;
  readonly name: string;
  readonly members: Readonly<Record<string, unknown>>;
}

export interface Applied {
  readonly kind: Kind;
  readonly name: string;
  readonly result: 'created' | 'changed' | 'unchanged';
  /** A VM that runs takes its new config at the next start. */
  readonly pending_restart?: true;
  readonly plan?: DryRun;
  /** Of a deployment: how many of its VMs are ready. */
  readonly ready?: string;
}

interface How {
  readonly dryRun: boolean;
  /** Of a VM that is made. */
  readonly options: WaitOptions;
}

/** One document, a list, or an object with `items`. */
export function toDocuments(content: unknown, whence: string): readonly Document[] {
  const items = isList(content) ? content.items : Array.isArray(content) ? content : [content];
  return items.map((item, index) => {
    const where = items.length === 1 ? whence : `${whence}, number ${index + 1}`;
    const { kind: given, ...members } = asObject(item, where);
    const kind = KINDS.find((known) => known.toLowerCase() === String(given).toLowerCase());
    if (kind === undefined) {
      throw new UsageError(`${where}: kind must be one of ${KINDS.join(', ')}`);
    }
    const { name } = members;
    if (typeof name !== 'string' || name === '') throw new UsageError(`${where} has no name`);
    return { kind, name, members };
  });
}

function isList(content: unknown): content is { readonly items: readonly unknown[] } {
  return typeof content === 'object' && content !== null && 'items' in content
    ? Array.isArray(content.items)
    : false;
}

export function applyDocument(
  client: VolantClient,
  document: Document,
  how: How,
): Promise<Applied> {
  if (document.kind === 'VM') return applyVm(client, document, how);
  if (document.kind === 'Deployment') return applyDeployment(client, document, how);
  return applyPlugin(client, document, how);
}

async function applyVm(
  { vms, configs }: VolantClient,
  { kind, name, members }: Document,
  how: How,
): Promise<Applied> {
  const request = { ...members, name } as CreateVmRequest;
  const current = await found(configs.get(name));
  if (current === undefined) {
    if (how.dryRun) return { kind, name, result: 'created', plan: await vms.planCreate(request) };
    await vms.create(request, how.options);
    return { kind, name, result: 'created' };
  }
  const patch = toConfigPatch(request);
  if (covers(current.config, patch)) return { kind, name, result: 'unchanged' };
  const options = { ifVersion: current.version };
  if (how.dryRun) {
    const plan = await configs.planUpdate(name, patch, options);
    return { kind, name, result: 'changed', plan };
  }
  const { pending_restart } = await configs.update(name, patch, options);
  return { kind, name, result: 'changed', ...(pending_restart ? { pending_restart } : {}) };
}

/** The request that makes a VM as the change of the config of one that is there. */
function toConfigPatch(request: CreateVmRequest): ConfigPatch {
  const {
    name: _name,
    plugin: _plugin,
    config: _config,
    runtime,
    cpu_cores,
    memory_mb,
    kernel_cmdline,
    api_host,
    api_port,
    // What is not known goes to the daemon, too: it refuses it.
    ...unknown
  } = request;
  const { plugin: _, ...config } = request.config ?? {};
  const resources = { ...config.resources, ...set({ cpu_cores, memory_mb }) };
  const api = { ...config.api, ...set({ host: api_host, port: api_port }) };
  return {
    ...unknown,
    ...config,
    ...set({ runtime, kernel_cmdline }),
    ...(Object.keys(resources).length === 0 ? {} : { resources }),
    ...(Object.keys(api).length === 0 ? {} : { api }),
  };
}

async function applyDeployment(
  { deployments }: VolantClient,
  { kind, name, members }: Document,
  how: How,
): Promise<Applied> {
  const request = { ...members, name } as CreateDeploymentRequest;
  const current = await found(deployments.get(name));
  if (current === undefined) {
    if (how.dryRun) {
      return { kind, name, result: 'created', plan: await deployments.planCreate(request) };
    }
    const made = await deployments.create(request);
    return { kind, name, result: 'created', ready: readyIn(made) };
  }
  const { name: _, replicas, config, max_unavailable, ...unknown } = request;
  const patch: PatchDeploymentRequest = {
    ...unknown,
    ...(replicas === undefined || replicas === current.desired_replicas ? {} : { replicas }),
    ...(config === undefined || covers(current.config, config) ? {} : { config }),
    ...(max_unavailable === undefined || max_unavailable === current.max_unavailable
      ? {}
      : { max_unavailable }),
  };
  if (Object.keys(patch).length === 0) {
    return { kind, name, result: 'unchanged', ready: readyIn(current) };
  }
  if (how.dryRun) {
    return { kind, name, result: 'changed', plan: await deployments.planPatch(name, patch) };
  }
  const changed = await deployments.patch(name, patch);
  return { kind, name, result: 'changed', ready: readyIn(changed) };
}

function readyIn({ ready_replicas, desired_replicas }: Deployment): string {
  return `${ready_replicas} of ${desired_replicas} ready`;
}

async function applyPlugin(
  { plugins }: VolantClient,
  { kind, name, members }: Document,
  how: How,
): Promise<Applied> {
  const current = await found(plugins.get(name));
  if (current !== undefined && covers(current, members)) return { kind, name, result: 'unchanged' };
  if (!how.dryRun) await plugins.install({ ...members, name } as ManifestInput);
  return { kind, name, result: current === undefined ? 'created' : 'changed' };
}

/** true when everything that is wanted is there already. Lists must be equal, objects may have more. */
export function covers(current: unknown, wanted: unknown): boolean {
  if (wanted === null || wanted === undefined) return current === null || current === undefined;
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(current) &&
      current.length === wanted.length &&
      wanted.every((item, index) => covers(current[index], item))
    );
  }
  if (typeof wanted !== 'object') return current === wanted;
  if (typeof current !== 'object' || current === null) return false;
  const members: Readonly<Record<string, unknown>> = { ...current };
  return Object.entries(wanted).every(([name, value]) => covers(members[name], value));
}

async function found<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

/** The members that have a value. */
function set<T extends object>(members: T): { [Name in keyof T]?: NonNullable<T[Name]> } {
  const entries = Object.entries(members).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Name in keyof T]?: NonNullable<T[Name]> };
}
