// cli, commands: options of `vms create` and `deployments create` that are members of a config, and their conversion.

import { type Command, Option } from 'commander';
import type { EgressInput, ManifestInput, VmConfigInput } from '../../client/types.ts';
import { collect, parsePairs } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import { programMembers } from '../run/run-request.ts';
import type { Shell } from '../shell.ts';

export interface EgressFlags {
  readonly egressDefault?: string;
  readonly egressAllow?: readonly string[];
  readonly egressDeny?: readonly string[];
}

export interface ConfigFlags extends EgressFlags {
  readonly expose?: readonly string[];
  readonly env?: readonly string[];
  readonly disk?: readonly string[];
  readonly network?: string;
  readonly metadata?: readonly string[];
  readonly label?: readonly string[];
}

/** A container image in the place of a plugin. */
export interface ImageFlags {
  readonly image?: string;
  readonly entrypoint?: string;
}

/** `run` has them, too. */
export function addEgressOptions(command: Command): Command {
  return command
    .option(
      '--egress-default <verdict>',
      'what the guest may reach beside the entries: allow or deny',
    )
    .option(
      '--egress-allow <entry>',
      'address, network or name that the guest may reach; may be repeated',
      collect,
    )
    .option(
      '--egress-deny <entry>',
      'address, network or name that the guest may not reach; may be repeated',
      collect,
    );
}

export function addImageOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--image <image>', 'a container image to run, instead of a plugin').conflicts(
        'plugin',
      ),
    )
    .option('--entrypoint <program>', 'replaces entrypoint and command of the image');
}

/**
 * The config of a file, or an empty one, with a manifest of the image: its name is that of the VM or deployment. `words` replace
 * the image's command. Without an image it is returned as it is. Throws UsageError for options that need one.
 */
export function withImage(
  name: string,
  file: VmConfigInput | undefined,
  { image, entrypoint }: ImageFlags,
  words: readonly string[],
): VmConfigInput | undefined {
  if (image === undefined) {
    if (entrypoint !== undefined) throw new UsageError('--entrypoint needs --image');
    if (words.length > 0) throw new UsageError('Arguments of a program need --image');
    return file;
  }
  if (file?.manifest || file?.plugin) {
    throw new UsageError('--image goes with no config that has a plugin or a manifest');
  }
  const workload = programMembers(entrypoint, words);
  const isSaid = Object.keys(workload).length > 0;
  return { ...file, manifest: { name, image, ...(isSaid ? { workload } : {}) } };
}

export function addConfigOptions(command: Command): Command {
  command
    .option('--expose <ports>', 'HOST:GUEST or HOST:GUEST/udp; may be repeated', collect)
    .option('--env <name=value>', 'variable of the workload; may be repeated', collect)
    .option('--disk <name=source>', 'disk; read-only with ,ro; may be repeated', collect)
    .option('--network <mode>', 'bridged, vsock or dhcp');
  return addEgressOptions(command)
    .option('--metadata <name=value>', 'metadata of the config; may be repeated', collect)
    .option('--label <name=value>', 'label of the manifest; may be repeated', collect);
}

/** The config of a file, or an empty one, with the values of the options added. `plugin` has the manifest to change. */
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
  const egress = egressOf(config.network?.egress, flags);
  if (egress !== undefined) config.network = { ...config.network, egress };
  if (metadata !== undefined) config.metadata = { ...config.metadata, ...parsePairs(metadata) };
  if (flags.env === undefined && flags.disk === undefined && flags.label === undefined) {
    return config;
  }
  const named = config.manifest ?? (await manifestOf(shell, plugin ?? config.plugin));
  config.manifest = withManifestFlags(named, flags);
  return config;
}

/** The egress rules of a file with those of the options; undefined without options. */
export function egressOf(
  file: EgressInput | null | undefined,
  { egressDefault, egressAllow, egressDeny }: EgressFlags,
): EgressInput | undefined {
  if ([egressDefault, egressAllow, egressDeny].every((flag) => flag === undefined)) {
    return undefined;
  }
  const otherwise = egressDefault ?? file?.default;
  if (otherwise === undefined) {
    throw new UsageError('--egress-allow and --egress-deny need --egress-default allow or deny');
  }
  return {
    ...file,
    default: otherwise,
    ...(egressAllow === undefined ? {} : { allow: [...(file?.allow ?? []), ...egressAllow] }),
    ...(egressDeny === undefined ? {} : { deny: [...(file?.deny ?? []), ...egressDeny] }),
  };
}

/** These options are members of the manifest, so there must be one. */
async function manifestOf(shell: Shell, plugin: string | undefined): Promise<ManifestInput> {
  if (plugin !== undefined) return shell.client.plugins.get(plugin);
  throw new UsageError(
    '--env, --disk and --label need --plugin, --image or a config with a manifest',
  );
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

/** A published port as it is written: HOST:GUEST or HOST:GUEST/udp. */
export function toExpose(text: string): { host_port: number; port: number; protocol?: string } {
  const [, host = '', guest = '', protocol] =
    /^(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/.exec(text) ?? [];
  if (guest === '')
    throw new UsageError(`${text} is not a pair of ports: write 8080:80 or 53:53/udp`);
  return {
    host_port: Number(host),
    port: Number(guest),
    ...(protocol === undefined ? {} : { protocol }),
  };
}

function toDisk(text: string): NonNullable<ManifestInput['disks']>[number] {
  const [, name = '', source = '', readonly] = /^([^=]+)=(.+?)(,ro)?$/.exec(text) ?? [];
  if (source === '')
    throw new UsageError(`${text} is not a disk: write data=/path or data=/path,ro`);
  return { name, source, ...(readonly === undefined ? {} : { readonly: true }) };
}
