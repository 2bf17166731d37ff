// engine: cloud-init. Pure: what a config says and the facts of a VM -> the files of a seed, as the
// NoCloud data source reads them (docs.cloud-init.io, reference/datasources/nocloud).

import type { CloudInitDocInput } from '../schema/manifest.ts';
import type { VmConfig } from '../schema/vm-config.ts';
import type { GuestNetwork, StaticNetwork } from './kernel-arguments.ts';

const DOCUMENTS = ['user_data', 'meta_data', 'network_config'] as const;

type SeedDocumentName = (typeof DOCUMENTS)[number];

/** Where the text of a document is: in the config itself, or in a file of the host. */
export type SeedSource =
  | { readonly kind: 'inline'; readonly text: string }
  | { readonly kind: 'file'; readonly url: string };

/** null: nobody gave this document. */
export type SeedSources = Readonly<Record<SeedDocumentName, SeedSource | null>>;

/** The texts after the files were read. */
export type SeedDocuments = Readonly<Record<SeedDocumentName, string | null>>;

/**
 * The config's documents over those of the manifest, one by one. `inline: true` with nothing in it takes
 * away what the manifest has. null when neither has cloud_init: such a VM gets no seed.
 */
export function seedSourcesOf(config: VmConfig): SeedSources | null {
  const own = config.cloud_init ?? null;
  const base = config.manifest.cloud_init ?? null;
  if (own === null && base === null) return null;
  const merged = (name: SeedDocumentName): SeedSource | null => {
    const document = own?.[name];
    return sourceOf(saysSomething(document) ? document : base?.[name]);
  };
  return {
    user_data: merged('user_data'),
    meta_data: merged('meta_data'),
    network_config: merged('network_config'),
  };
}

function saysSomething(document: CloudInitDocInput | undefined): boolean {
  return Boolean(document?.content || document?.path || document?.inline);
}

/** The content is taken as it is: blanks and line ends belong to the user. */
function sourceOf(document: CloudInitDocInput | undefined): SeedSource | null {
  const { content = '', path = '' } = document ?? {};
  if (content.trim() !== '') return { kind: 'inline', text: content };
  return path.trim() === '' ? null : { kind: 'file', url: path.trim() };
}

/** The texts of all documents; `read` gets those that are files. Its errors are thrown. */
export async function readSeed(
  sources: SeedSources,
  read: (url: string) => Promise<string>,
): Promise<SeedDocuments> {
  const textOf = async (source: SeedSource | null): Promise<string | null> =>
    source?.kind === 'file' ? read(source.url) : (source?.text ?? null);
  const [user_data, meta_data, network_config] = await Promise.all([
    textOf(sources.user_data),
    textOf(sources.meta_data),
    textOf(sources.network_config),
  ]);
  return { user_data, meta_data, network_config };
}

/**
 * The files of the seed, by name. NoCloud needs user-data and meta-data, so both are always there;
 * network-config only when it was given. The id of a VM is never used again: by the instance-id that is
 * made of it a guest knows whether it has booted before.
 */
export function seedFiles(
  { user_data, meta_data, network_config }: SeedDocuments,
  vm: { readonly id: number; readonly name: string },
): ReadonlyMap<string, string> {
  const files = new Map([
    ['user-data', user_data ?? '#cloud-config\n'],
    ['meta-data', completeMetaData(meta_data ?? '', vm)],
  ]);
  if (network_config !== null) files.set('network-config', network_config);
  return files;
}

/** The user's meta-data with the keys that it lacks; one that is not plain lines of keys stays as it is. */
function completeMetaData(
  given: string,
  vm: { readonly id: number; readonly name: string },
): string {
  const keys = topLevelKeys(given);
  if (keys === null) return given;
  const missing = [
    ['instance-id', `volant-${vm.id}`],
    ['local-hostname', plainOrQuoted(vm.name)],
  ].filter(([key = '']) => !keys.has(key));
  const separator = given === '' || given.endsWith('\n') ? '' : '\n';
  return `${given}${separator}${missing.map((pair) => `${pair.join(': ')}\n`).join('')}`;
}

/**
 * The keys of YAML that is written as one block mapping, to whose end further keys can be added. null
 * for anything else: JSON, several documents, or a text that only a parser of YAML can make out.
 */
function topLevelKeys(text: string): ReadonlySet<string> | null {
  const keys = new Set<string>();
  const lines = text.split(/\r?\n/).filter((line) => !/^\s*(#|$)/.test(line));
  for (const [index, line] of lines.entries()) {
    if (index === 0 && line.trimEnd() === '---') continue;
    // What a key holds: deeper lines, and the items of a list, which need not be deeper.
    if (keys.size > 0 && /^( |- |-$)/.test(line)) continue;
    const key = /^(["']?)([A-Za-z][\w-]*)\1:(?: |$)/.exec(line)?.[2];
    if (key === undefined) return null;
    keys.add(key);
  }
  return keys;
}

/** Most names are YAML texts as they are; `on` and `1e3` would be read as something else. */
function plainOrQuoted(name: string): string {
  const isPlain = /^[a-z][a-z0-9-]*$/i.test(name);
  const isReserved = /^(y|n|yes|no|true|false|on|off|null)$/i.test(name);
  return isPlain && !isReserved ? name : JSON.stringify(name);
}

/**
 * Tells cloud-init the address that the VM has, for guests whose seed has no network-config: an
 * argument of the kernel that cloud-init reads (reference/network-config), with JSON in networking config
 * version 2. Without it cloud-init would ask for a lease and wait. The device is found by its MAC
 * address, for its name depends on the guest; the default route is written with its prefix, for older
 * renderers do not know `default`.
 */
export function networkConfigArgument(network: GuestNetwork, macAddress: string): string {
  const address = network === 'dhcp' ? { dhcp4: true } : staticAddress(network);
  const eth0 = { match: { macaddress: macAddress }, ...address };
  const config = JSON.stringify({ version: 2, ethernets: { eth0 } });
  return `network-config=${Buffer.from(config).toString('base64')}`;
}

function staticAddress({ ipAddress, prefixLength, hostIp, nameServers }: StaticNetwork) {
  return {
    addresses: [`${ipAddress}/${prefixLength}`],
    routes: [{ to: '0.0.0.0/0', via: hostIp }],
    ...(nameServers.length === 0 ? {} : { nameservers: { addresses: nameServers } }),
  };
}
