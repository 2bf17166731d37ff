// engine, media: the files of a cloud-init seed, from a config and the facts of a VM, as the NoCloud data source reads
// them (docs.cloud-init.io, reference/datasources/nocloud). Pure; media.ts makes the disk.

import { VolantError } from '../../lib/errors.ts';
import type { CloudInitDocInput } from '../../schema/manifest.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import type { SeedFiles } from '../ports/media-ports.ts';

/** The guest's network configuration: asked for by DHCP, or complete. */
export type GuestNetwork = 'dhcp' | StaticNetwork;

export interface StaticNetwork {
  readonly ipAddress: string;
  readonly hostIp: string;
  readonly prefixLength: number;
  readonly nameServers: readonly string[];
}

const DOCUMENTS = ['user_data', 'meta_data', 'network_config'] as const;

/** At the beginning of a line, where a block mapping has its keys, without a blank after the colon. */
const UNSPACED_KEY = /^(instance-id|local-hostname):(?=\S)/m;

/** Whether meta-data is usable does not depend on the VM. */
const SOME_VM = { id: 0, name: 'vm' };

type SeedDocumentName = (typeof DOCUMENTS)[number];

/** Where a document is: in the config itself, or in a file of the host. */
export type SeedSource =
  | { readonly kind: 'inline'; readonly text: string | Uint8Array }
  | { readonly kind: 'file'; readonly url: string };

/** null: the document was not given. */
export type SeedSources = Readonly<Record<SeedDocumentName, SeedSource | null>>;

/** The documents with their contents. Contents that are not text, such as compressed user-data, are bytes. */
export type SeedDocuments = Readonly<Record<SeedDocumentName, string | Uint8Array | null>>;

/**
 * The sources of the documents: for each, the config's own counts before the manifest's. `inline: true` without content
 * removes the manifest's document. null if neither has cloud_init; such a VM gets no seed.
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

/** The content is not trimmed: blanks and line ends belong to the user. */
function sourceOf(document: CloudInitDocInput | undefined): SeedSource | null {
  const { content = '', encoding = '', path = '' } = document ?? {};
  if (encoding.trim() === 'base64') {
    return { kind: 'inline', text: textOrBytes(Buffer.from(content, 'base64')) };
  }
  if (content.trim() !== '') return { kind: 'inline', text: content };
  return path.trim() === '' ? null : { kind: 'file', url: path.trim() };
}

/** The field that names the file of a document. */
export function seedField(name: string): string {
  return `cloud_init.${name}.path`;
}

/**
 * Reads all documents. `read` is called for those in files, with the field that names each; its errors are passed on.
 * Throws MEDIA_INVALID as seedFiles does, so that bad meta-data is found before anything is made.
 */
export async function readSeed(
  sources: SeedSources,
  read: (url: string, field: string) => Promise<Uint8Array>,
): Promise<SeedDocuments> {
  const contentOf = async (name: SeedDocumentName) => {
    const source = sources[name];
    if (source?.kind !== 'file') return source?.text ?? null;
    return textOrBytes(await read(source.url, seedField(name)));
  };
  const [user_data, meta_data, network_config] = await Promise.all([
    contentOf('user_data'),
    contentOf('meta_data'),
    contentOf('network_config'),
  ]);
  completeMetaData(meta_data ?? '', SOME_VM);
  const documents = { user_data, meta_data, network_config };
  // Checks the meta-data here, before anything is made.
  seedFiles(documents, { id: 0, name: 'vm' });
  return documents;
}

function textOrBytes(bytes: Uint8Array): string | Uint8Array {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // A TypeError: it is not UTF-8.
    return bytes;
  }
}

/**
 * The files of the seed, by name. NoCloud needs user-data and meta-data, so both are always there; network-config only
 * if it was given. The instance-id is derived from the VM's id, which is never reused; from it a guest knows whether it
 * has booted before. Throws MEDIA_INVALID for meta-data without an instance-id that no key can be added to.
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

/** The user's meta-data, completed with the keys that it lacks. JSON is valid YAML. */
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
    // Other YAML is passed on unchanged as long as it has an instance-id.
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

/** Missing members are put before the others, which stay as they were written. */
function completeJson(given: string, json: object, own: Readonly<Record<string, string>>): string {
  const missing = Object.entries(own).filter(([key]) => !Object.hasOwn(json, key));
  const members = missing.map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  const separator = members.length > 0 && Object.keys(json).length > 0 ? ', ' : '';
  return given.replace('{', () => `{${members.join(', ')}${separator}`);
}

/** YAML needs a blank after the colon of an unquoted key: `instance-id:i-1` is one word, not a key. */
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
 * The keys of YAML that is one block mapping, so that keys can be appended. null for anything else, such as several
 * documents.
 */
function topLevelKeys(text: string): ReadonlySet<string> | null {
  const keys = new Set<string>();
  const lines = text.split(/\r?\n/).filter((line) => !/^\s*(#|$)/.test(line));
  for (const [index, line] of lines.entries()) {
    if (index === 0 && line.trimEnd() === '---') continue;
    // The value of a key: deeper lines, and list items, which may be at the same depth.
    if (keys.size > 0 && /^( |- |-$)/.test(line)) continue;
    const key = /^(["']?)([A-Za-z][\w./-]*)\1[ \t]*:(?: |$)/.exec(line)?.[2];
    if (key === undefined) return null;
    keys.add(key);
  }
  return keys;
}

/** Quotes a name that YAML would read as another type, such as `on` or `1e3`. */
function plainOrQuoted(name: string): string {
  const isPlain = /^[a-z][a-z0-9-]*$/i.test(name);
  const isReserved = /^(y|n|yes|no|true|false|on|off|null)$/i.test(name);
  return isPlain && !isReserved ? name : JSON.stringify(name);
}

/**
 * The kernel argument by which cloud-init configures the VM's address, for a guest whose seed has no network-config
 * (reference/network-config): JSON in networking config version 2. Without it cloud-init would ask for a DHCP lease and
 * wait. The device is matched by its MAC address, because its name depends on the guest. The default route is written
 * as a prefix, because older renderers do not know `default`.
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
