// cli, apply: compares documents with what exists, by the daemon's own dry runs, and carries the differences out.

import { isDeepStrictEqual } from 'node:util';
import type { VolantClient } from '../../client/client.ts';
import { ApiError } from '../../client/errors.ts';
import type {
  ConfigPatch,
  CreateDeploymentRequest,
  CreateVmRequest,
  Deployment,
  DryRun,
  ManifestInput,
  PatchDeploymentRequest,
  WaitOptions,
} from '../../client/types.ts';
import { readyText } from '../deployment-text.ts';
import { type Document, keyOf, type Read } from './documents.ts';
import { mapBounded } from './map-bounded.ts';
import { covers, isObject, set, without } from './members.ts';
import { NewManifests } from './new-manifests.ts';
import { type Problem, problemsOf, refuse } from './problems.ts';
import { stepsOf } from './yaml-lines.ts';

/** What was reported while a document was applied. */
export interface Outcome {
  /** The VM runs and uses its new config after its next start. */
  readonly pending_restart?: true;
  /** For a deployment: how many of its VMs are ready, and why the others are not. */
  readonly ready?: string;
}

/** What applying a document would do. */
export interface Plan {
  readonly document: Document;
  readonly result: 'created' | 'changed' | 'unchanged';
  /** The object as it is: the config of a VM, the manifest of a plugin; undefined if it does not exist. */
  readonly before: object | undefined;
  /** The object as it would be. */
  readonly after: object;
  /** The daemon's answer to the dry run, if there was one. */
  readonly plan?: DryRun;
  readonly ready?: string;
  apply(options: WaitOptions): Promise<Outcome>;
}

/** The plans of all documents in their order. Throws DocumentsError with every problem; then nothing is to be applied. */
export async function planAll(client: VolantClient, read: Read): Promise<readonly Plan[]> {
  const problems: Problem[] = [...read.problems];
  const manifests = new NewManifests(client);
  const plans: Plan[] = [];
  const plan = async (document: Document) => {
    try {
      return [await planOne(client, manifests, document)];
    } catch (error) {
      // The plugin may be in a document that could not be read.
      const isSequel = error instanceof ApiError && error.code === 'PLUGIN_NOT_FOUND';
      const found = problemsOf(error, { ...document, subject: keyOf(document) });
      if (!isSequel || read.problems.length === 0) problems.push(...found);
      const known = withoutUnknown(document, found);
      if (known !== document) problems.push(...(await problemsLeft(known)));
      return [];
    }
  };
  /** The daemon refuses unknown members before it looks at the others. */
  const problemsLeft = async (document: Document): Promise<readonly Problem[]> => {
    try {
      await planOne(client, manifests, document);
      return [];
    } catch (error) {
      return problemsOf(error, { ...document, subject: keyOf(document) });
    }
  };
  try {
    for (const isPlugin of [true, false]) {
      const group = read.documents.filter(({ kind }) => (kind === 'Plugin') === isPlugin);
      plans.push(...(await mapBounded(group, plan)).flat());
    }
  } catch (error) {
    // What is wrong in the files is known without the daemon.
    refuse(read.problems);
    throw error;
  }
  refuse(problems);
  return plans;
}

/** The document without the members that the daemon does not know; the same one if there are none. */
function withoutUnknown(document: Document, problems: readonly Problem[]): Document {
  let members: unknown = document.members;
  for (const { member, text } of problems) {
    if (member === undefined || !text.startsWith('is not known')) continue;
    const steps = stepsOf(member);
    const rest = without(members, steps);
    // A change of a VM's config has no member `config` around it.
    members = rest === members ? without(members, ['config', ...steps]) : rest;
  }
  return members === document.members
    ? document
    : { ...document, members: members as Document['members'] };
}

function planOne(client: VolantClient, manifests: NewManifests, document: Document): Promise<Plan> {
  if (document.kind === 'VM') return planVm(client, manifests, document);
  if (document.kind === 'Deployment') return planDeployment(client, manifests, document);
  return planPlugin(client, manifests, document);
}

async function planVm(
  { vms, configs }: VolantClient,
  manifests: NewManifests,
  document: Document,
): Promise<Plan> {
  const { name, members } = document;
  const request = { ...members, name } as CreateVmRequest;
  const current = await found(configs.get(name));
  if (current === undefined) {
    const plan = await manifests.plan<CreateVmRequest, DryRun>(request, (asked) =>
      vms.planCreate(asked),
    );
    const create = async (options: WaitOptions) => {
      await vms.create(request, options);
      return {};
    };
    const after = plan?.config ?? members;
    return {
      document,
      result: 'created',
      before: undefined,
      after,
      ...set({ plan }),
      apply: create,
    };
  }
  const before = current.config;
  const patch = toConfigPatch(request);
  if (covers(before, patch)) return unchanged(document, before);
  // Only the version that was compared is changed.
  const options = { ifVersion: current.version };
  const plan = await configs.planUpdate(name, patch, options);
  const after = plan.config ?? before;
  if (isSame(before, after)) return unchanged(document, before);
  const apply = async () => {
    const { pending_restart } = await configs.update(name, patch, options);
    return pending_restart ? ({ pending_restart } as const) : {};
  };
  return { document, result: 'changed', before, after, plan: plan as DryRun, apply };
}

/** Converts the request that creates a VM to a change of the config of an existing one. */
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
    // Unknown members are sent, too, and refused by the daemon.
    ...unknown
  } = request;
  const { plugin: _, ...config } = request.config ?? {};
  const resources = joined(config.resources, set({ cpu_cores, memory_mb }));
  const api = joined(config.api, set({ host: api_host, port: api_port }));
  return { ...unknown, ...config, ...set({ runtime, kernel_cmdline }), ...set({ resources, api }) };
}

/** Members of a config, and those in the short form. What is no object is sent as it is, and refused by the daemon. */
function joined<T extends object>(given: T | null | undefined, short: T): T | undefined {
  const long = given ?? undefined;
  if (Object.keys(short).length === 0) return long;
  return long === undefined || isObject(long) ? { ...long, ...short } : long;
}

async function planDeployment(
  { deployments }: VolantClient,
  manifests: NewManifests,
  document: Document,
): Promise<Plan> {
  const { name, members } = document;
  const request = { ...members, name } as CreateDeploymentRequest;
  const current = await found(deployments.get(name));
  if (current === undefined) {
    const plan = await manifests.plan(request, (asked) => deployments.planCreate(asked));
    const create = async () => ({ ready: readyText(await deployments.create(request)) });
    const after = plan === undefined ? members : stateOf(plan);
    return {
      document,
      result: 'created',
      before: undefined,
      after,
      ...set({ plan }),
      apply: create,
    };
  }
  const before = stateOf(current);
  const ready = readyText(current);
  const { name: _, replicas, config, max_unavailable, ...unknown } = request;
  const patch: PatchDeploymentRequest = {
    ...unknown,
    ...(replicas === undefined || replicas === current.desired_replicas ? {} : { replicas }),
    ...(config === undefined || covers(current.config, config) ? {} : { config }),
    ...(max_unavailable === undefined || max_unavailable === current.max_unavailable
      ? {}
      : { max_unavailable }),
  };
  if (Object.keys(patch).length === 0) return { ...unchanged(document, before), ready };
  const plan =
    patch.config === undefined
      ? await deployments.planPatch(name, patch)
      : await manifests.plan({ config: patch.config }, (asked) =>
          deployments.planPatch(name, { ...patch, ...asked }),
        );
  const after = plan === undefined ? { ...before, ...patch } : stateOf(plan);
  if (isSame(before, after)) return { ...unchanged(document, before), ready };
  const apply = async () => ({ ready: readyText(await deployments.patch(name, patch)) });
  return { document, result: 'changed', before, after, ready, ...set({ plan }), apply };
}

/** What a document can say of a deployment. */
function stateOf({ desired_replicas, max_unavailable, config }: Deployment): object {
  return { replicas: desired_replicas, max_unavailable, config };
}

async function planPlugin(
  { plugins }: VolantClient,
  manifests: NewManifests,
  document: Document,
): Promise<Plan> {
  const { name, members } = document;
  const manifest = { ...members, name } as ManifestInput & { name: string };
  const before = await found(plugins.get(name));
  if (before !== undefined && covers(before, members)) return unchanged(document, before);
  const after = (await manifests.check(manifest)) ?? { ...before, ...members };
  if (before !== undefined && isSame(before, after)) return unchanged(document, before);
  const apply = async () => {
    await plugins.install(manifest);
    return {};
  };
  return { document, result: before === undefined ? 'created' : 'changed', before, after, apply };
}

function unchanged(document: Document, before: object): Plan {
  const apply = () => Promise.resolve({});
  return { document, result: 'unchanged', before, after: before, apply };
}

function isSame(before: object, after: object): boolean {
  return isDeepStrictEqual(before, after);
}

async function found<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}
