// schema: what a manifest must obey beyond its shape, and the normal form in which it is stored. Pure.
// Arguments and environment values are the user's own and are never trimmed.

import { LIMITS } from '../config.ts';
import { imageLocation } from '../lib/image-location.ts';
import { parseIpv4 } from '../lib/ipv4.ts';
import {
  DEVICE_PATTERN_RULE,
  isDevicePattern,
  isPciAddress,
  PCI_ADDRESS_RULE,
} from '../lib/pci-address.ts';
import { type GuestMount, guestProblems } from './guest-rules.ts';
import { checkHealthCheck } from './health-check-rules.ts';
import { checkDiskFormat, checkDisks, checkImage, serialOf } from './image-rules.ts';
import type {
  CloudInitDocInput,
  CloudInitInput,
  Manifest,
  ManifestInput,
  Workload,
} from './manifest.ts';
import { ManifestSchema, NETWORK_MODES } from './manifest.ts';
import { inNormalForm } from './normal-form.ts';
import { NAME_PATTERN } from './parts.ts';
import type { Problems } from './validate.ts';

export interface ResourceBounds {
  readonly cpuCoresMax: number;
  readonly memoryMbMin: number;
  readonly memoryMbMax: number;
}

/** In lines or not. */
const BASE64 = /^(?:[A-Za-z0-9+/]\s*)*(?:=\s*){0,2}$/;

type NetworkInput = NonNullable<ManifestInput['network']>;

/** The manifest in its normal form, or every problem that it has, keyed by path. */
export function normaliseManifest(
  given: ManifestInput,
  bounds: ResourceBounds,
): { readonly manifest: Manifest } | { readonly problems: Problems } {
  const input = inNormalForm(ManifestSchema, given);
  const problems: Record<string, string> = {};
  const name = trimmed(input.name);
  if (name === '') problems['name'] = 'is required';
  else if (!new RegExp(NAME_PATTERN).test(name)) {
    problems['name'] = 'must be lower-case letters, digits and "-", 1 to 63';
  }
  const version = trimmed(input.version);
  if (version === '') problems['version'] = 'is required';
  const runtime = trimmed(input.runtime) || name;
  if (!/^[A-Za-z0-9._-]{1,63}$/.test(runtime) && runtime !== '') {
    problems['runtime'] = 'must be letters, digits, ".", "_" and "-", at most 63';
  }
  const rootfs = checkRootFs(input, problems);
  const initramfs = checkInitramfs(input, problems);
  if (rootfs.url === '' && initramfs.url === '') {
    problems['initramfs.url'] = 'a manifest needs an initramfs or a rootfs';
  }
  const network = checkNetwork(input.network, 'network', problems);
  const cloudInit = checkCloudInit(input.cloud_init, 'cloud_init', problems, true);
  const disks = checkDisks(input, problems);
  checkDevices(input.devices, problems);
  const actions = checkActions(input, problems);
  const workload = checkWorkload(input, problems);
  const resources = checkResources(input, bounds, problems);
  const manifest: Manifest = {
    ...optionalText('$schema', input.$schema),
    schema_version: trimmed(input.schema_version) || '1.0',
    name,
    version,
    runtime,
    ...optionalText('image', input.image),
    ...optionalText('image_digest', input.image_digest),
    ...optionalText('openapi', input.openapi),
    enabled: input.enabled ?? true,
    labels: { ...trimValues(input.labels), 'volant.plugin': name, 'volant.runtime': runtime },
    resources,
    workload,
    health_check: checkHealthCheck(input.health_check ?? {}, problems),
    ...(actions === undefined ? {} : { actions }),
    rootfs,
    initramfs,
    ...(disks === undefined ? {} : { disks }),
    ...(cloudInit === undefined ? {} : { cloud_init: cloudInit }),
    ...(network === undefined ? {} : { network }),
    ...(input.devices ? { devices: input.devices } : {}),
    ...(input.stop_grace_seconds === undefined
      ? {}
      : { stop_grace_seconds: input.stop_grace_seconds }),
  };
  // What a member is asked for by a rule of its own is said first.
  const all = { ...guestProblems(manifest, mountsOf(disks)), ...problems };
  return Object.keys(all).length > 0 ? { problems: all } : { manifest };
}

/** As many and as long as those that the agent gets. */
function mountsOf(disks: ManifestInput['disks']): GuestMount[] {
  return (disks ?? []).map(({ name = '', target = '', readonly = false }) => ({
    serial: serialOf(name, target),
    target,
    readonly,
  }));
}

/** Devices of the host, and patterns for those that may be given. */
export function checkDevices(
  devices: ManifestInput['devices'],
  problems: Record<string, string>,
): void {
  const { pci_passthrough = [], allowlist = [] } = devices ?? {};
  if (pci_passthrough.length > LIMITS.vmDevicesMax) {
    problems['devices.pci_passthrough'] = `must have at most ${LIMITS.vmDevicesMax} items`;
  }
  for (const [index, address] of pci_passthrough.entries()) {
    if (isPciAddress(address)) continue;
    problems[`devices.pci_passthrough[${index}]`] = PCI_ADDRESS_RULE;
  }
  for (const [index, pattern] of allowlist.entries()) {
    if (isDevicePattern(pattern)) continue;
    problems[`devices.allowlist[${index}]`] = DEVICE_PATTERN_RULE;
  }
}

function checkWorkload(input: ManifestInput, problems: Record<string, string>): Workload {
  const given = input.workload ?? {};
  if (trimmed(given.type).toLowerCase() !== 'http') problems['workload.type'] = 'must be http';
  const entrypoint = given.entrypoint ?? [];
  if (trimmed(entrypoint[0]) === '') {
    problems['workload.entrypoint'] = 'must name a program and its arguments';
  }
  const workdir = trimmed(given.workdir);
  return {
    type: 'http',
    base_url: trimmed(given.base_url),
    entrypoint,
    ...(given.env === undefined ? {} : { env: given.env }),
    ...(workdir === '' ? {} : { workdir }),
  };
}

function checkResources(
  input: ManifestInput,
  bounds: ResourceBounds,
  problems: Record<string, string>,
): Manifest['resources'] {
  const { cpu_cores = 0, memory_mb = 0 } = input.resources ?? {};
  if (cpu_cores < 1 || cpu_cores > bounds.cpuCoresMax) {
    problems['resources.cpu_cores'] = `must be 1 to ${bounds.cpuCoresMax}`;
  }
  if (memory_mb < bounds.memoryMbMin || memory_mb > bounds.memoryMbMax) {
    problems['resources.memory_mb'] = `must be ${bounds.memoryMbMin} to ${bounds.memoryMbMax} MiB`;
  }
  return { cpu_cores, memory_mb };
}

function checkRootFs(input: ManifestInput, problems: Record<string, string>): Manifest['rootfs'] {
  const { url, checksum } = checkImage(input.rootfs, 'rootfs', problems);
  const format = checkDiskFormat(input.rootfs?.format, 'rootfs.format', problems);
  return { url, ...(checksum === '' ? {} : { checksum }), format };
}

function checkInitramfs(
  input: ManifestInput,
  problems: Record<string, string>,
): Manifest['initramfs'] {
  const { url, checksum } = checkImage(input.initramfs, 'initramfs', problems);
  return { url, ...(checksum === '' ? {} : { checksum }) };
}

function checkActions(
  input: ManifestInput,
  problems: Record<string, string>,
): ManifestInput['actions'] | undefined {
  const entries = Object.entries(input.actions ?? {});
  if (entries.length === 0) return undefined;
  return Object.fromEntries(
    entries.map(([given, action]) => {
      const name = given.trim();
      const method = trimmed(action.method);
      const path = trimmed(action.path);
      if (name === '') problems['actions'] = 'an action needs a name';
      return [name, { ...action, method, path }];
    }),
  );
}

/** An object without a mode says nothing and is refused; absent and null are fine. */
export function checkNetwork(
  given: NetworkInput | null | undefined,
  path: string,
  problems: Record<string, string>,
): Manifest['network'] | undefined {
  if (!given) return undefined;
  const wanted = trimmed(given.mode).toLowerCase();
  const mode = NETWORK_MODES.find((candidate) => candidate === wanted);
  if (mode === undefined) {
    problems[`${path}.mode`] = `must be one of ${NETWORK_MODES.join(', ')}`;
    return undefined;
  }
  if (mode === 'bridged' && given.subnet && !given.gateway && !given.auto_assign) {
    problems[`${path}.gateway`] = 'a subnet needs a gateway or auto_assign';
  }
  const address = trimmed(given.ip_address);
  if (address !== '' && parseIpv4(address) === null) {
    problems[`${path}.ip_address`] = 'must be an IPv4 address';
  } else if (address !== '' && mode !== 'bridged') {
    problems[`${path}.ip_address`] = 'needs mode bridged';
  }
  return { ...given, mode };
}

/** `defaults` fills in datasource and seed_mode, as a manifest has it. */
export function checkCloudInit(
  given: CloudInitInput | null | undefined,
  path: string,
  problems: Record<string, string>,
  defaults: boolean,
): CloudInitInput | undefined {
  if (!given) return undefined;
  const datasource = trimmed(given.datasource) || (defaults ? 'NoCloud' : '');
  const seedMode = trimmed(given.seed_mode).toLowerCase() || 'vfat';
  if (seedMode !== 'vfat') problems[`${path}.seed_mode`] = 'must be vfat';
  for (const name of ['user_data', 'meta_data', 'network_config'] as const) {
    checkCloudInitDoc(given[name], `${path}.${name}`, problems);
  }
  return { ...given, ...(datasource === '' ? {} : { datasource }), seed_mode: seedMode };
}

function checkCloudInitDoc(
  doc: CloudInitDocInput | undefined,
  path: string,
  problems: Record<string, string>,
): void {
  if (doc === undefined) return;
  const found = doc.path?.trim() ? imageLocation(doc.path.trim()) : null;
  if (typeof found === 'string') problems[`${path}.path`] = found;
  else if (found?.isRemote) problems[`${path}.path`] = 'must be a file of the host';
  const encoding = trimmed(doc.encoding);
  if (encoding !== '' && encoding !== 'base64') problems[`${path}.encoding`] = 'must be base64';
  else if (encoding !== '' && !BASE64.test(doc.content ?? '')) {
    problems[`${path}.content`] = 'must be base64, as encoding says';
  }
  if (doc.content && doc.path) problems[path] = 'has both content and path';
  else if (doc.content && doc.inline !== true)
    problems[`${path}.inline`] = 'must be true with content';
  else if (doc.path && doc.inline === true) problems[`${path}.inline`] = 'must be false with path';
}

function trimmed(text: string | undefined): string {
  return text?.trim() ?? '';
}

function optionalText<K extends string>(
  key: K,
  text: string | undefined,
): Partial<Record<K, string>> {
  const value = trimmed(text);
  return value === '' ? {} : ({ [key]: value } as Record<K, string>);
}

function trimValues(map: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(map ?? {}).map(([key, value]) => [key, value.trim()]));
}
