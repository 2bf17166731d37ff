// engine: cloud-init. Pure: what a config says and the facts of a VM -> the files of a seed, as the
// NoCloud data source reads them (docs.cloud-init.io, reference/datasources/nocloud).

import { VolantError } from '../../lib/errors.ts';
import type { CloudInitDocInput } from '../../schema/manifest.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import type { SeedFiles } from '../media-ports.ts';
import type { GuestNetwork, StaticNetwork } from '../vms/kernel-arguments.ts';

const DOCUMENTS = ['user_data', 'meta_data', 'network_config'] as const;

/** At the beginning of a line, where a block mapping has its keys. */
const UNSPACED_KEY = /^(instance-id|local-hostname):(?=\S)/m;

type SeedDocumentName = (typeof DOCUMENTS)[number];

/** Where a document is: in the config itself, or in a file of the host. */
export type SeedSource =
  | { readonly kind: 'inline'; readonly text: string | Uint8Array }
  | { readonly kind: 'file'; readonly url: string };

/** null: nobody gave this document. */
export type SeedSources = Readonly<Record<SeedDocumentName, SeedSource | null>>;

/** The documents after the files were read. Bytes are what is no text, such as packed user-data. */
export type SeedDocuments = Readonly<Record<SeedDocumentName, string | Uint8Array | null>>;

/**
 * The config's documents over those of the manifest, one by one. `inline: true` with nothing in it takes
 * away what the manifest has. null when neither has cloud_init: such a VM gets no seed.
 */
export function seedSourcesOf(
  config: Pick<VmConfig, 'manifest' | 'cloud_init'>,
): SeedSources | null {
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
  const { content = '', encoding = '', path = '' } = document ?? {};
  if (encoding.trim() === 'base64') {
    return { kind: 'inline', text: textOrBytes(Buffer.from(content, 'base64')) };
  }
  if (content.trim() !== '') return { kind: 'inline', text: content };
  return path.trim() === '' ? null : { kind: 'file', url: path.trim() };
}

/** All documents; `read` gets those that are files, with the field that names each. Its errors are thrown. */
export async function readSeed(
  sources: SeedSources,
  read: (url: string, field: string) => Promise<Uint8Array>,
): Promise<SeedDocuments> {
  const contentOf = async (name: SeedDocumentName) => {
    const source = sources[name];
    if (source?.kind !== 'file') return source?.text ?? null;
    return textOrBytes(await read(source.url, `cloud_init.${name}.path`));
  };
  const [user_data, meta_data, network_config] = await Promise.all([
    contentOf('user_data'),
    contentOf('meta_data'),
    contentOf('network_config'),
  ]);
  const documents = { user_data, meta_data, network_config };
  // Tried here, where nothing is made yet.
  seedFiles(documents, { id: 0, name: 'vm' });
  return documents;
}

function textOrBytes(bytes: Uint8Array): string | Uint8Array {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // A TypeError: it is no UTF-8.
    return bytes;
  }
}

/**
 * The files of the seed, by name. NoCloud needs user-data and meta-data, so both are always there;
 * network-config only when it was given. The id of a VM is never used again: by the instance-id that is
 * made of it a guest knows whether it has booted before. MEDIA_INVALID for meta-data without an instance-id
 * that none can be added to.
 */
export function seedFiles(
  { user_data, meta_data, network_config }: SeedDocuments,
  vm: { readonly id: number; readonly name: string },
): SeedFiles {
  const files = new Map<string, string | Uint8Array>([
    ['user-data', user_data ?? '#cloud-config\n'],
    ['meta-data', completeMetaData(meta_data ?? '', vm)],
  ]);
  if (network_config !== null) files.set('network-config', network_config);
  return files;
}

/** The user's meta-data with the keys that it lacks. JSON is YAML, too. */
function completeMetaData(
  given: string | Uint8Array,
  vm: { readonly id: number; readonly name: string },
): string {
  if (typeof given !== 'string') throw badMetaData();
  const instanceId = `volant-${vm.id}`;
  const json = jsonObjectIn(given);
  if (json !== null) {
    return completeJson(given, json, { 'instance-id': instanceId, 'local-hostname': vm.name });
  }
  const text = given.replace(/(^|\n)\.\.\.\s*$/, '$1');
  const keys = topLevelKeys(text);
  if (keys === null) {
    // What only a parser of YAML can make out is the user's, as long as it tells one VM from another.
    if (hasInstanceId(given) && !UNSPACED_KEY.test(text)) return given;
    throw badMetaData();
  }
  const missing = [
    ['instance-id', instanceId],
    ['local-hostname', plainOrQuoted(vm.name)],
  ].filter(([key = '']) => !keys.has(key));
  const separator = text === '' || text.endsWith('\n') ? '' : '\n';
  return `${text}${separator}${missing.map((pair) => `${pair.join(': ')}\n`).join('')}`;
}

/** The members that it lacks are put before the others, which stay as they were written. */
function completeJson(given: string, json: object, own: Readonly<Record<string, string>>): string {
  const missing = Object.entries(own).filter(([key]) => !Object.hasOwn(json, key));
  const members = missing.map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  const separator = members.length > 0 && Object.keys(json).length > 0 ? ', ' : '';
  return given.replace('{', () => `{${members.join(', ')}${separator}`);
}

/** After a colon YAML wants a blank, unless the key is quoted: `instance-id:i-1` is one word, and no key. */
function hasInstanceId(text: string): boolean {
  return /^[^#\n]*\binstance-id(["']\s*:|\s*:(?=\s|$))/m.test(text);
}

function badMetaData(): VolantError {
  const form = 'JSON nor one "key: value" on each line, with a blank after the colon';
  const why = `has no instance-id that cloud-init would read, and is neither ${form}`;
  const details = { 'cloud_init.meta_data': why };
  return new VolantError('MEDIA_INVALID', `The meta-data for cloud-init ${why}`, { details });
}

function jsonObjectIn(text: string): object | null {
  if (!text.trimStart().startsWith('{')) return null;
  try {
    return JSON.parse(text);
  } catch {
    // A SyntaxError: it may be another form of YAML.
    return null;
  }
}

/**
 * The keys of YAML that is written as one block mapping, to whose end further keys can be added. null
 * for anything else: several documents, or a text that only a parser of YAML can make out.
 */
function topLevelKeys(text: string): ReadonlySet<string> | null {
  const keys = new Set<string>();
  const lines = text.split(/\r?\n/).filter((line) => !/^\s*(#|$)/.test(line));
  for (const [index, line] of lines.entries()) {
    if (index === 0 && line.trimEnd() === '---') continue;
    // What a key holds: deeper lines, and the items of a list, which need not be deeper.
    if (keys.size > 0 && /^( |- |-$)/.test(line)) continue;
    const key = /^(["']?)([A-Za-z][\w./-]*)\1[ \t]*:(?: |$)/.exec(line)?.[2];
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
