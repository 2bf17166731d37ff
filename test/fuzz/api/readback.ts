// fuzz, api: after an answer that says done: what is read back must be what was asked for. Only for names that one client
// alone asks about, so that nobody else has changed them meanwhile.

import { ConfigPatchSchema } from '../../../src/schema/config-patch.ts';
import { ManifestSchema } from '../../../src/schema/manifest.ts';
import { inNormalForm } from '../../../src/schema/rules/normal-form.ts';
import { VmConfigSchema } from '../../../src/schema/vm-config.ts';
import type { RawAnswer } from './answer.ts';
import type { FuzzRequest } from './requests.ts';
import type { Json } from './values.ts';

/** Asks with GET. */
export type Read = (path: string) => Promise<{ readonly status: number; readonly body: Json }>;

export async function readBack(
  request: FuzzRequest,
  { status, text }: RawAnswer,
  read: Read,
): Promise<readonly string[]> {
  const check = CHECKS[request.operation.id];
  const isDone = status === 200 || status === 201 || status === 204;
  if (check === undefined || !isDone || request.kind === 'hostile') return [];
  if (request.target.includes('dry_run=true')) return [];
  const answered = text === '' ? undefined : JSON.parse(text);
  const path = request.target.split('?')[0] ?? '';
  return check({ path, value: request.value, answered, read });
}

interface Done {
  readonly path: string;
  readonly value: Json;
  readonly answered: Json;
  readonly read: Read;
}

const CHECKS: Readonly<Record<string, (done: Done) => Promise<readonly string[]>>> = {
  createVM: async ({ path, value, read }) => {
    const vm = await read(`${path}/${value.name}`);
    const config = await read(`${path}/${value.name}/config`);
    if (vm.status !== 200) return [`made, and then ${vm.status}`];
    const asked = inNormalForm(VmConfigSchema, value.config ?? {});
    return [
      ...differences(value.plugin, vm.body.plugin, 'plugin'),
      ...differences(withoutNulls(besides(asked, value)), config.body.config, 'config'),
    ];
  },
  updateVMConfig: async ({ path, value, answered, read }) => {
    const { status, body } = await read(path);
    if (status !== 200) return [`changed, and then ${status}`];
    const { expected_version: _, plugin: __, ...asked } = inNormalForm(ConfigPatchSchema, value);
    return [
      ...differences(answered.config, body.config, 'config'),
      ...differences(body.config, answered.config, 'config'),
      ...differences(withoutNulls(asked), body.config, 'config'),
    ];
  },
  createDeployment: async ({ path, value, read }) => {
    const { status, body } = await read(`${path}/${value.name}`);
    if (status !== 200) return [`made, and then ${status}`];
    const asked = inNormalForm(VmConfigSchema, value.config ?? {});
    return [
      ...differences(value.replicas, body.desired_replicas ?? body.replicas, 'replicas'),
      ...differences(withoutNulls(asked), body.config, 'config'),
    ];
  },
  scaleDeployment: async ({ path, value, read }) => {
    const { status, body } = await read(path);
    if (status !== 200) return [`scaled, and then ${status}`];
    return differences(value.replicas, body.desired_replicas ?? body.replicas, 'replicas');
  },
  installPlugin: async ({ path, value, read }) => {
    const { status, body } = await read(`${path}/${value.name}/manifest`);
    if (value.enabled === false) return [];
    if (status !== 200) return [`installed, and then ${status}`];
    return differences(withoutNulls(inNormalForm(ManifestSchema, value)), body, '');
  },
  setPluginEnabled: async ({ path, value, read }) => {
    const { body } = await read(path.replace(/\/enabled$/, ''));
    return differences(value.enabled, body?.enabled, 'enabled');
  },
  putPluginArtifact: async ({ path, value, read }) => {
    const name = encodeURIComponent(value.artifact_name);
    const { status, body } = await read(
      `${path}/${name}?version=${encodeURIComponent(value.version)}`,
    );
    return status === 200 ? differences(value, body, '') : [`put, and then ${status}`];
  },
  stopVM: async ({ path, read }) => {
    const { body } = await read(path.replace(/\/stop$/, ''));
    return differences('stopped', body?.status, 'status');
  },
  destroyVM: gone,
  deleteDeployment: gone,
  removePlugin: gone,
};

/** A config without the members that the request has beside it, too: there they count more. */
function besides(config: Json, request: Json): Json {
  const { resources = {}, api = {}, ...rest } = config;
  const kept = Object.entries(rest).filter(([key]) => request[key] === undefined);
  const { cpu_cores = resources?.cpu_cores, memory_mb = resources?.memory_mb } = request;
  const { api_host: host = api?.host, api_port: port = api?.port } = request;
  return { ...Object.fromEntries(kept), resources: { cpu_cores, memory_mb }, api: { host, port } };
}

async function gone({ path, read }: Done): Promise<readonly string[]> {
  const { status } = await read(path);
  return status === 404 ? [] : [`deleted, and then ${status}`];
}

/** What is asked for and not there. Empty texts, zeros and lists say nothing and may be left out. */
function differences(asked: Json, there: Json, path: string): readonly string[] {
  if (asked === undefined || isNothing(asked)) return [];
  if (typeof asked === 'object' && !Array.isArray(asked)) {
    if (typeof there !== 'object' || there === null) return [`${path} is ${JSON.stringify(there)}`];
    return Object.entries(asked).flatMap(([key, member]) =>
      differences(member, there[key], path === '' ? key : `${path}.${key}`),
    );
  }
  if (Array.isArray(asked)) {
    if (!Array.isArray(there) || there.length !== asked.length) {
      return [
        `${path} is ${JSON.stringify(there)?.slice(0, 100)}, not ${JSON.stringify(asked).slice(0, 100)}`,
      ];
    }
    return asked.flatMap((item, index) => differences(item, there[index], `${path}[${index}]`));
  }
  if (asked === there) return [];
  return [`${path} is ${JSON.stringify(there)}, not ${JSON.stringify(asked)}`];
}

function isNothing(value: Json): boolean {
  if (value === null || value === '' || value === 0) return true;
  return typeof value === 'object' && Object.values(value).every(isNothing);
}

function withoutNulls(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(members.map(([key, member]) => [key, withoutNulls(member)]));
}
