// schema: rules for a manifest beyond its shape, and the normal form in which it is stored. Pure. Arguments and environment
// values belong to the user and are never trimmed.

import { LIMITS } from '../../config/limits.ts';
import { imageLocation } from '../../lib/formats/image-location.ts';
import type { Problems } from '../../lib/formats/member-path.ts';
import {
  DEVICE_PATTERN_RULE,
  isDevicePattern,
  isPciAddress,
  PCI_ADDRESS_RULE,
} from '../../lib/formats/pci-address.ts';
import { signalNumber } from '../../lib/formats/signals.ts';
import { parseIpv4 } from '../../lib/net/ipv4.ts';
import type {
  CloudInitDocInput,
  CloudInitInput,
  Manifest,
  ManifestInput,
  Workload,
} from '../manifest.ts';
import { ManifestSchema, NETWORK_MODES, RESTART_POLICIES, WORKLOAD_TYPES } from '../manifest.ts';
import { NAME_PATTERN } from '../parts.ts';
import { checkContainerImage, IMAGE_RESOURCES, versionOfImage } from './container-image.ts';
import { checkEgress, normalEgress } from './egress-rules.ts';
import { type GuestMount, guestProblems } from './guest-rules.ts';
import { checkHealthCheck } from './health-check-rules.ts';
import {
  checkDiskFormat,
  checkDiskName,
  checkDisks,
  checkImage,
  formatOfName,
  serialOf,
} from './image-rules.ts';
import { checkHealthOfNone, workloadOfNone } from './no-program.ts';
import { inNormalForm } from './normal-form.ts';

export interface ResourceBounds {
  readonly cpuCoresMax: number;
  readonly memoryMbMin: number;
  readonly memoryMbMax: number;
}

/** With or without line breaks. */
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
  const image = trimmed(input.image);
  const isOfFiles = Boolean(input.rootfs?.url?.trim() || input.initramfs?.url?.trim());
  const isOfImage = image !== '' && !isOfFiles;
  if (isOfImage) checkContainerImage(image, trimmed(input.image_digest) || undefined, problems);
  const version = trimmed(input.version) || (isOfImage ? versionOfImage(image) : '');
  if (version === '') problems['version'] = 'is required';
  const runtime = trimmed(input.runtime) || name;
  if (!/^[A-Za-z0-9._-]{1,63}$/.test(runtime) && runtime !== '') {
    problems['runtime'] = 'must be letters, digits, ".", "_" and "-", at most 63';
  }
  const rootfs = checkRootFs(input, problems);
  const initramfs = checkInitramfs(input, problems);
  if (rootfs.url === '' && initramfs.url === '' && !isOfImage) {
    problems['initramfs.url'] = 'a manifest needs an initramfs, a rootfs or an image';
  }
  const network = checkNetwork(input.network, 'network', problems);
  const cloudInit = checkCloudInit(input.cloud_init, 'cloud_init', problems, true);
  const disks = checkDisks(input, problems);
  checkDevices(input.devices, problems);
  const actions = checkActions(input, problems);
  const workload = checkWorkload(input, isOfImage, problems);
  const resources = checkResources(input, isOfImage, bounds, problems);
  const health = checkHealthCheck(input.health_check ?? {}, problems);
  if (workload.type === 'none') checkHealthOfNone(health, problems);
  const manifest: Manifest = {
    ...optionalText('$schema', input.$schema),
    schema_version: trimmed(input.schema_version) || '1.0',
    name,
    version,
    runtime,
    ...optionalText('image', image),
    ...optionalText('image_digest', input.image_digest),
    ...optionalText('openapi', input.openapi),
    enabled: input.enabled ?? true,
    labels: { ...trimValues(input.labels), 'volant.plugin': name, 'volant.runtime': runtime },
    resources,
    workload,
    health_check: health,
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
    ...(input.metadata_service === undefined ? {} : { metadata_service: input.metadata_service }),
  };
  // The rules above have the more specific messages, so they override those of the guest.
  const all = { ...guestProblems(manifest, mountsOf(disks)), ...problems };
  return Object.keys(all).length > 0 ? { problems: all } : { manifest };
}

/** Mounts with the same number and size as those that the agent gets. */
function mountsOf(disks: ManifestInput['disks']): GuestMount[] {
  return (disks ?? []).map(({ name = '', target = '', readonly = false }) => ({
    serial: serialOf(name, target),
    target,
    readonly,
  }));
}

/** Checks devices of the host, and the patterns of devices that are allowed. */
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

function checkWorkload(
  input: ManifestInput,
  isOfImage: boolean,
  problems: Record<string, string>,
): Workload {
  const given = input.workload ?? {};
  const baseUrl = trimmed(given.base_url);
  // What an image exposes is known when it is here. Until then nothing is known but how it is started.
  const unsaid = isOfImage ? (baseUrl === '' ? 'exec' : 'http') : '';
  const wanted = trimmed(given.type).toLowerCase() || unsaid;
  if (wanted === 'none') return workloadOfNone(given, problems);
  const type = WORKLOAD_TYPES.find((candidate) => candidate === wanted);
  if (type === undefined) {
    problems['workload.type'] = `must be one of ${WORKLOAD_TYPES.join(', ')}`;
  }
  const entrypoint = given.entrypoint ?? [];
  const isOfItself = isOfImage && entrypoint.length === 0;
  if (trimmed(entrypoint[0]) === '' && !isOfItself) {
    problems['workload.entrypoint'] = 'must name a program and its arguments';
  }
  const workdir = trimmed(given.workdir);
  const user = trimmed(given.user);
  const stopSignal = trimmed(given.stop_signal);
  if (stopSignal !== '' && signalNumber(stopSignal) === null) {
    problems['workload.stop_signal'] = 'must be a signal of Linux, such as SIGTERM or SIGQUIT';
  }
  const askedRestart = trimmed(given.restart).toLowerCase();
  const restart = RESTART_POLICIES.find((candidate) => candidate === askedRestart);
  if (askedRestart !== '' && restart === undefined) {
    problems['workload.restart'] = `must be one of ${RESTART_POLICIES.join(', ')}`;
  }
  return {
    type: type ?? 'http',
    ...(baseUrl === '' ? {} : { base_url: baseUrl }),
    entrypoint,
    ...(given.args === undefined ? {} : { args: given.args }),
    ...(given.env === undefined ? {} : { env: given.env }),
    ...(workdir === '' ? {} : { workdir }),
    ...(user === '' ? {} : { user }),
    ...(stopSignal === '' ? {} : { stop_signal: stopSignal }),
    ...(restart === undefined ? {} : { restart }),
  };
}

function checkResources(
  input: ManifestInput,
  isOfImage: boolean,
  bounds: ResourceBounds,
  problems: Record<string, string>,
): Manifest['resources'] {
  const unsaid = isOfImage ? IMAGE_RESOURCES : { cpu_cores: 0, memory_mb: 0 };
  const cpu_cores = input.resources?.cpu_cores || unsaid.cpu_cores;
  const memory_mb = input.resources?.memory_mb || unsaid.memory_mb;
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
  checkDiskName(url, input.rootfs?.format, 'rootfs.url', problems);
  const named = input.rootfs?.format?.trim() || formatOfName(url);
  const format = checkDiskFormat(named, 'rootfs.format', problems);
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

/** An object without a mode, ports and egress rules has no meaning and is refused; absent and null are valid. */
export function checkNetwork(
  given: NetworkInput | null | undefined,
  path: string,
  problems: Record<string, string>,
): Manifest['network'] | undefined {
  if (!given) return undefined;
  checkDeclaredPorts(given.expose, path, problems);
  checkEgress(given.egress, `${path}.egress`, problems);
  const hasMeaning = given.expose || given.egress;
  const wanted = trimmed(given.mode).toLowerCase() || (hasMeaning ? 'bridged' : '');
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
  if (mode === 'vsock' && given.egress) {
    problems[`${path}.egress`] = 'needs a network card: a VM in mode vsock has none';
  }
  const { egress, ...rest } = given;
  const rules = normalEgress(egress);
  return {
    ...rest,
    mode,
    ...(rules === undefined
      ? {}
      : { egress: { ...rules, allow: [...rules.allow], deny: [...rules.deny] } }),
  };
}

function checkDeclaredPorts(
  given: NetworkInput['expose'],
  path: string,
  problems: Record<string, string>,
): void {
  if ((given?.length ?? 0) > LIMITS.exposedPortsMax) {
    problems[`${path}.expose`] = `must be at most ${LIMITS.exposedPortsMax} ports`;
  }
  const seen = new Set<string>();
  for (const [index, { port = 0, protocol, host_port = 0 }] of (given ?? []).entries()) {
    const at = `${path}.expose[${index}]`;
    const kind = trimmed(protocol).toLowerCase() || 'tcp';
    if (kind !== 'tcp' && kind !== 'udp') problems[`${at}.protocol`] = 'must be tcp or udp';
    if (port < 1 || port > 65535) problems[`${at}.port`] = 'must be 1 to 65535';
    if (host_port < 0 || host_port > 65535) problems[`${at}.host_port`] = 'must be 1 to 65535';
    const hostPort = `${kind} ${host_port}`;
    if (host_port !== 0 && seen.has(hostPort)) problems[`${at}.host_port`] = 'is there twice';
    seen.add(hostPort);
  }
}

/** `defaults` adds datasource and seed_mode, which a manifest requires. */
export function checkCloudInit(
  given: CloudInitInput | null | undefined,
  path: string,
  problems: Record<string, string>,
  defaults: boolean,
): CloudInitInput | undefined {
  if (!given) return undefined;
  const datasource = trimmed(given.datasource) || (defaults ? 'NoCloud' : '');
  const seedMode = trimmed(given.seed_mode).toLowerCase() || 'vfat';
  if (seedMode !== 'vfat') {
    problems[`${path}.seed_mode`] =
      'must be vfat, or missing: cloud-init reads that disk as it reads an ISO image';
  }
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
  else if (doc.content && doc.inline === false)
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
