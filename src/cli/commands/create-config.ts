// cli, commands: options of `vms create` and `deployments create` that are members of a config -> the config.

import type { Command } from 'commander';
import type { ManifestInput, VmConfigInput } from '../../client/types.ts';
import { collect, parsePairs } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import type { Shell } from '../shell.ts';

export interface ConfigFlags {
  readonly expose?: readonly string[];
  readonly env?: readonly string[];
  readonly disk?: readonly string[];
  readonly network?: string;
  readonly metadata?: readonly string[];
  readonly label?: readonly string[];
}

export function addConfigOptions(command: Command): Command {
  return command
    .option('--expose <ports>', 'HOST:GUEST or HOST:GUEST/udp; may be repeated', collect)
    .option('--env <name=value>', 'variable of the workload; may be repeated', collect)
    .option('--disk <name=source>', 'disk; with ,ro to protect it; may be repeated', collect)
    .option('--network <mode>', 'bridged, vsock or dhcp')
    .option('--metadata <name=value>', 'what programs shall find in the config', collect)
    .option('--label <name=value>', 'label of the manifest; may be repeated', collect);
}

/** A config of a file, or nothing, with what was given beside it. `plugin` has the manifest that is changed. */
export async function withFlags(
  shell: Shell,
  file: VmConfigInput | undefined,
  plugin: string | undefined,
  flags: ConfigFlags,
): Promise<VmConfigInput> {
  const { expose, metadata, network } = flags;
  const config: VmConfigInput = { ...file };
  if (expose !== undefined) config.expose = [...(config.expose ?? []), ...expose.map(toExpose)];
  if (network !== undefined) config.network = { ...config.network, mode: network };
  if (metadata !== undefined) config.metadata = { ...config.metadata, ...parsePairs(metadata) };
  if (flags.env === undefined && flags.disk === undefined && flags.label === undefined) {
    return config;
  }
  const named = config.manifest ?? (await manifestOf(shell, plugin ?? config.plugin));
  config.manifest = withManifestFlags(named, flags);
  return config;
}

/** They are members of the manifest: without one there is nothing to add them to. */
async function manifestOf(shell: Shell, plugin: string | undefined): Promise<ManifestInput> {
  if (plugin !== undefined) return shell.client.plugins.get(plugin);
  throw new UsageError('--env, --disk and --label need --plugin, or a config with a manifest');
}

function withManifestFlags(
  manifest: ManifestInput,
  { env, disk, label }: ConfigFlags,
): ManifestInput {
  const { workload, disks = [], labels } = manifest;
  return {
    ...manifest,
    ...(env === undefined
      ? {}
      : { workload: { ...workload, env: { ...workload?.env, ...parsePairs(env) } } }),
    ...(disk === undefined ? {} : { disks: [...disks, ...disk.map(toDisk)] }),
    ...(label === undefined ? {} : { labels: { ...labels, ...parsePairs(label) } }),
  };
}

function toExpose(text: string): { host_port: number; port: number; protocol?: string } {
  const [, host = '', guest = '', protocol] =
    /^(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/.exec(text) ?? [];
  if (guest === '') throw new UsageError(`${text} is no pair of ports: write 8080:80 or 53:53/udp`);
  return {
    host_port: Number(host),
    port: Number(guest),
    ...(protocol === undefined ? {} : { protocol }),
  };
}

function toDisk(text: string): NonNullable<ManifestInput['disks']>[number] {
  const [, name = '', source = '', readonly] = /^([^=]+)=(.+?)(,ro)?$/.exec(text) ?? [];
  if (source === '') throw new UsageError(`${text} is no disk: write data=/path or data=/path,ro`);
  return { name, source, ...(readonly === undefined ? {} : { readonly: true }) };
}
