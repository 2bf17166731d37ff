// engine, vms: the one resolution that create and start share: (manifest, config, request) -> config, and (config,
// allocations, facts) -> LaunchSpec. Pure. For every field the request counts first, then the config, then the
// manifest, then the default.

import { VolantError } from '../../../lib/errors.ts';
import { normalPciAddresses } from '../../../lib/formats/pci-address.ts';
import type { EgressRules } from '../../../lib/net/egress.ts';
import { type Manifest, NETWORK_MODES } from '../../../schema/manifest.ts';
import { NAME_CHARACTERS_MAX } from '../../../schema/parts.ts';
import { containerImageOf } from '../../../schema/rules/container-image.ts';
import { normalEgress } from '../../../schema/rules/egress-rules.ts';
import { type GuestMount, guestProblems } from '../../../schema/rules/guest-rules.ts';
import { inNormalForm } from '../../../schema/rules/normal-form.ts';
import { simulationOf, simulationProblems } from '../../../schema/simulation.ts';
import type { CreateVmRequest } from '../../../schema/vm.ts';
import { type VmConfig, type VmConfigInput, VmConfigSchema } from '../../../schema/vm-config.ts';
import type { GuestNetwork } from '../../media/cloud-init.ts';
import { networkConfigArgument } from '../../media/cloud-init.ts';
import { type MediaPlan, mediaPlanOf } from '../../media/media-plan.ts';
import { hasMetadataService, metadataProblems } from '../../metadata/metadata-document.ts';
import type { LaunchSpec } from '../../ports/hypervisor-ports.ts';
import type { HypervisorFacts } from '../../ports/process-ports.ts';
import { type PublishedPort, publishedPortsOf } from '../../published-ports/published-ports.ts';
import type { NetworkMode, ReplicaOf, VmLeases } from '../../records.ts';
import { completeCmdline, manifestForGuest, visibleArguments } from './kernel-arguments.ts';

/** What a VM gets if request, config and manifest leave it open. */
export const DEFAULT_RESOURCES = { cpu_cores: 2, memory_mb: 2048 } as const;

export interface ResolutionDefaults {
  /** The API endpoint that guests are given. */
  readonly apiHost: string;
  readonly apiPort: number;
  readonly cpuCoresMax: number;
  readonly memoryMbMin: number;
  readonly memoryMbMax: number;
  readonly kernelCmdlineBytesMax: number;
  /** Hypervisors are simulated, so a config may say what goes wrong. */
  readonly isSimulated: boolean;
}

/**
 * The complete config of a new VM. `manifest` is the plugin's, or the config's own if it has one. Throws BODY_INVALID
 * with every field that is out of bounds or that the guest would reject, FEATURE_UNAVAILABLE with every field that this
 * version does not support, or CMDLINE_TOO_LONG if some launch of it would be refused.
 */
export function resolveConfig(
  request: Omit<CreateVmRequest, 'name'>,
  manifest: Manifest,
  defaults: ResolutionDefaults,
): VmConfig {
  const given: VmConfigInput = request.config ?? {};
  const resolved: VmConfig = {
    ...withNormalEgress(withoutNulls(inNormalForm(VmConfigSchema, given))),
    ...(request.autostart === undefined ? {} : { autostart: request.autostart }),
    plugin: manifest.name,
    runtime: request.runtime || given.runtime || manifest.runtime,
    kernel_cmdline: request.kernel_cmdline?.trim() || given.kernel_cmdline?.trim() || '',
    resources: {
      cpu_cores: firstPositive(
        request.cpu_cores,
        given.resources?.cpu_cores,
        manifest.resources.cpu_cores,
        DEFAULT_RESOURCES.cpu_cores,
      ),
      memory_mb: firstPositive(
        request.memory_mb,
        given.resources?.memory_mb,
        manifest.resources.memory_mb,
        DEFAULT_RESOURCES.memory_mb,
      ),
    },
    api: {
      host: request.api_host || given.api?.host || defaults.apiHost,
      port: portOf(request.api_port) ?? portOf(given.api?.port) ?? String(defaults.apiPort),
    },
    manifest,
  };
  checkBounds(resolved, manifest, defaults);
  checkFeatures(resolved);
  checkGuest(resolved, defaults.kernelCmdlineBytesMax);
  return resolved;
}

function checkBounds(config: VmConfig, manifest: Manifest, bounds: ResolutionDefaults): void {
  const details: Record<string, string> = {};
  const { cpu_cores, memory_mb } = config.resources;
  if (cpu_cores > bounds.cpuCoresMax) {
    details['cpu_cores'] = `must be at most ${bounds.cpuCoresMax}`;
  }
  if (memory_mb < bounds.memoryMbMin || memory_mb > bounds.memoryMbMax) {
    details['memory_mb'] = `must be ${bounds.memoryMbMin} to ${bounds.memoryMbMax}`;
  }
  if (config.runtime !== manifest.runtime) {
    details['runtime'] = `plugin ${manifest.name} has runtime ${manifest.runtime}`;
  }
  Object.assign(details, metadataProblems(config));
  if (bounds.isSimulated) Object.assign(details, simulationProblems(config.metadata));
  if (Object.keys(details).length > 0)
    throw new VolantError('BODY_INVALID', undefined, { details });
}

/** Fields of the contract that are not supported yet are refused by name, never ignored. */
function checkFeatures(config: VmConfig): void {
  const { manifest } = config;
  const details: Record<string, string> = {};
  const datasource = config.cloud_init?.datasource || manifest.cloud_init?.datasource || 'NoCloud';
  if (datasource.toLowerCase() !== 'nocloud') {
    details['cloud_init.datasource'] = 'only NoCloud is available';
  }
  const hasFiles = [config.initramfs, config.rootfs, manifest.initramfs, manifest.rootfs].some(
    hasUrl,
  );
  if (!hasFiles && containerImageOf(manifest) === null) {
    details['initramfs.url'] = 'is required where there is no rootfs and no image';
  }
  if (Object.keys(details).length > 0) {
    throw new VolantError('FEATURE_UNAVAILABLE', undefined, { details });
  }
}

/** Manifests that were checked and are sound if the config adds no mounts. Manifests are never modified. */
const SOUND_MANIFESTS = new WeakSet<Manifest>();

/**
 * Checks what the guest's agent and kernel accept. A manifest was checked when it was added, perhaps by an earlier
 * version of this program. The config's disks and arguments add to it.
 */
function checkGuest(config: VmConfig, kernelCmdlineBytesMax: number): void {
  requireSoundManifest(config);
  // Name, address and accelerator are those of the longest possible launch.
  const visible = visibleOf(config, LONGEST_LAUNCH);
  complete(LONGEST_LAUNCH.name, visible, config, kernelCmdlineBytesMax);
}

function requireSoundManifest(config: VmConfig): void {
  const { manifest } = config;
  const mounts = mountsOf(config);
  if (mounts.length === 0 && SOUND_MANIFESTS.has(manifest)) return;
  const problems = Object.entries(guestProblems(manifest, mounts));
  if (problems.length > 0) {
    const details = Object.fromEntries(problems.map(([path, why]) => [`manifest.${path}`, why]));
    throw new VolantError('BODY_INVALID', undefined, { details });
  }
  if (mounts.length === 0) SOUND_MANIFESTS.add(manifest);
}

/** The config's network mode, else the manifest's, else bridged. */
export function networkModeOf(config: VmConfig): NetworkMode {
  const given = config.network?.mode ?? config.manifest.network?.mode;
  return NETWORK_MODES.find((mode) => mode === given) ?? 'bridged';
}

/** The config's egress rules, else the manifest's; undefined for none. */
export function egressRulesOf({ network, manifest }: VmConfig): EgressRules | undefined {
  return normalEgress(network?.egress ?? manifest.network?.egress);
}

/**
 * The address that the VM asks for; null if any will do. A config with a network replaces the manifest's address, even if it
 * names none.
 */
export function requestedAddressOf(config: VmConfig): string | null {
  return (config.network ?? config.manifest.network)?.ip_address?.trim() || null;
}

/** Host devices of the VM, by address in lower case. The config's list replaces the manifest's. */
export function pciDevicesOf(config: VmConfig): readonly string[] {
  return normalPciAddresses(deviceConfigOf(config).pci_passthrough ?? []);
}

function deviceConfigOf(config: VmConfig) {
  return config.devices ?? config.manifest.devices ?? {};
}

export interface LaunchInput {
  readonly vmId: number;
  readonly name: string;
  readonly config: VmConfig;
  readonly replica: ReplicaOf | undefined;
  readonly leases: VmLeases;
  readonly facts: HypervisorFacts;
  readonly kernelPath: string;
  /** `auto` selects the smallest machine type that the VM can use. */
  readonly machine: 'auto' | 'q35';
  readonly runDirectory: string;
  readonly hostIp: string;
  readonly prefixLength: number;
  readonly nameServers: readonly string[];
  readonly kernelCmdlineBytesMax: number;
}

export interface ResolvedLaunch {
  /** All but the images, which the launch itself provides. */
  readonly spec: Omit<LaunchSpec, 'initramfsPath' | 'disks'>;
  readonly media: MediaPlan;
  readonly publishedPorts: readonly PublishedPort[];
  /** The host devices that the VM may be given, besides the operator's own list. */
  readonly deviceAllowlist: readonly string[];
  /** For the record and the API. */
  readonly kernelCmdline: string;
  /** The manifest to send over the agent's channel; null when it is on the command line. */
  readonly manifestOverChannel: string | null;
}

/** Everything that a driver must know for one launch. Throws CMDLINE_TOO_LONG only. */
export function resolveLaunch(input: LaunchInput): ResolvedLaunch {
  const { config, leases } = input;
  const pciDevices = pciDevicesOf(config);
  const media = mediaPlanOf(config);
  const visible = visibleOf(config, input);
  const simulation = simulationOf(config.metadata);
  const { cmdline, manifestOverChannel } = complete(
    input.name,
    visible,
    config,
    input.kernelCmdlineBytesMax,
  );
  return {
    kernelCmdline: visible,
    manifestOverChannel,
    publishedPorts: publishedPortsOf(config, input.replica),
    deviceAllowlist: deviceConfigOf(config).allowlist ?? [],
    media,
    spec: {
      vmId: input.vmId,
      name: input.name,
      machine: pciDevices.length === 0 && input.machine === 'auto' ? 'microvm' : 'q35',
      cpuCores: config.resources.cpu_cores,
      memoryMb: config.resources.memory_mb,
      kernelPath: input.kernelPath,
      kernelCmdline: cmdline,
      network:
        leases.tapName === null ? null : { tapName: leases.tapName, macAddress: leases.macAddress },
      vsockCid:
        networkModeOf(config) === 'vsock' && input.facts.vhostVsock ? leases.vsockCid : null,
      pciDevices,
      runDirectory: input.runDirectory,
      ...(simulation === undefined ? {} : { simulation }),
    },
  };
}

/** What the command line of a launch depends on, beside its config. */
type CmdlineInput = Pick<LaunchInput, 'name' | 'hostIp' | 'prefixLength' | 'nameServers'> & {
  readonly facts: Pick<HypervisorFacts, 'accelerator' | 'tscKhz'>;
  readonly leases: Pick<VmLeases, 'ipAddress' | 'macAddress'>;
};

/** Resolvers use no more of them (resolv.conf(5), MAXNS). */
const NAME_SERVERS_MAX = 3;

const LONGEST_ADDRESS = '255.255.255.255';

/** No launch has a longer command line than this one. */
const LONGEST_LAUNCH: CmdlineInput = {
  name: 'x'.repeat(NAME_CHARACTERS_MAX),
  hostIp: LONGEST_ADDRESS,
  prefixLength: 32,
  nameServers: Array.from({ length: NAME_SERVERS_MAX }, () => LONGEST_ADDRESS),
  facts: { accelerator: 'tcg', tscKhz: 99_999_999 },
  leases: { ipAddress: LONGEST_ADDRESS, macAddress: 'ff:ff:ff:ff:ff:ff' },
};

/** The arguments that the API shows. */
function visibleOf(config: VmConfig, input: CmdlineInput): string {
  const network = guestNetworkOf(config, input);
  return visibleArguments(input.facts, config.resources.memory_mb, input.name, network, [
    ...networkConfigArguments(mediaPlanOf(config), network, input.leases.macAddress),
    ...[config.kernel_cmdline?.trim() ?? ''].filter(Boolean),
  ]);
}

function guestNetworkOf(config: VmConfig, input: CmdlineInput): GuestNetwork | null {
  const { ipAddress } = input.leases;
  const mode = networkModeOf(config);
  if (mode === 'dhcp') return mode;
  if (mode === 'vsock' || ipAddress === null) return null;
  const { hostIp, prefixLength } = input;
  const nameServers = input.nameServers.slice(0, NAME_SERVERS_MAX);
  return { ipAddress, hostIp, prefixLength, nameServers };
}

/** Network arguments for a guest whose seed has no network configuration of its own. */
function networkConfigArguments(
  { seed }: MediaPlan,
  network: GuestNetwork | null,
  macAddress: string,
): readonly string[] {
  if (seed === null || seed.network_config !== null || network === null) return [];
  return [networkConfigArgument(network, macAddress)];
}

/**
 * The manifest that a VM with this visible command line must get over the channel; null if it is on the command line.
 */
export function manifestForChannel(
  name: string,
  kernelCmdline: string,
  config: VmConfig,
  bytesMax: number,
): string | null {
  return complete(name, kernelCmdline, config, bytesMax).manifestOverChannel;
}

function complete(
  hostName: string,
  visible: string,
  config: VmConfig,
  bytesMax: number,
): { readonly cmdline: string; readonly manifestOverChannel: string | null } {
  const { plugin, runtime, api } = config;
  const { bootsFromDisk } = mediaPlanOf(config);
  const endpoint = { apiHost: api.host, apiPort: api.port };
  const hasMetadata = hasMetadataService(config);
  const agent = { plugin, runtime, hostName, bootsFromDisk, hasMetadata, ...endpoint };
  const manifest = { ...config.manifest, metadata_service: hasMetadata };
  const manifestJson = manifestForGuest(manifest, mountsOf(config));
  const { cmdline, manifestOverChannel } = completeCmdline(visible, agent, manifestJson, bytesMax);
  return { cmdline, manifestOverChannel: manifestOverChannel ? manifestJson : null };
}

function hasUrl(image: { readonly url?: string } | null | undefined): boolean {
  return Boolean(image?.url);
}

/** What the agent mounts before it starts the workload. */
function mountsOf(config: VmConfig): readonly GuestMount[] {
  return mediaPlanOf(config).disks.flatMap(({ serial, mountPoint, readonly }) =>
    mountPoint === null ? [] : [{ serial, target: mountPoint, readonly }],
  );
}

function firstPositive(...values: (number | undefined)[]): number {
  return values.find((value) => value !== undefined && value > 0) ?? 0;
}

/** "0" and the empty string mean: not set. */
function portOf(port: string | undefined): string | undefined {
  return port === undefined || port === '' || port === '0' ? undefined : port;
}

function withNormalEgress(config: Partial<VmConfig>): Partial<VmConfig> {
  const rules = normalEgress(config.network?.egress);
  if (rules === undefined) return config;
  const { default: otherwise, allow, deny } = rules;
  const egress = { default: otherwise, allow: [...allow], deny: [...deny] };
  return { ...config, network: { ...config.network, egress } };
}

function withoutNulls(config: VmConfigInput): Partial<VmConfig> {
  const present = Object.entries(config).filter(([, value]) => value !== null);
  return Object.fromEntries(present) as Partial<VmConfig>;
}
