// engine: one resolution for create and start alike: (manifest, config, request) -> config, and
// (config, leases, facts) -> LaunchSpec. Pure. Precedence for every field: the request's own, then
// its config's, then the manifest's, then the default.

import { VolantError } from '../../lib/errors.ts';
import { normalPciAddresses } from '../../lib/pci-address.ts';
import { type GuestMount, guestProblems } from '../../schema/guest-rules.ts';
import { type Manifest, NETWORK_MODES } from '../../schema/manifest.ts';
import { inNormalForm } from '../../schema/normal-form.ts';
import { NAME_CHARACTERS_MAX } from '../../schema/parts.ts';
import type { CreateVmRequest } from '../../schema/vm.ts';
import { type VmConfig, type VmConfigInput, VmConfigSchema } from '../../schema/vm-config.ts';
import { type ExposedPort, exposedPortsOf } from '../exposures/exposed-ports.ts';
import { networkConfigArgument } from '../media/cloud-init.ts';
import { type MediaPlan, mediaPlanOf } from '../media/media-plan.ts';
import type { HypervisorFacts, LaunchSpec } from '../ports.ts';
import type { NetworkMode, ReplicaOf, VmLeases } from '../records.ts';
import {
  completeCmdline,
  type GuestNetwork,
  manifestForGuest,
  visibleArguments,
} from './kernel-arguments.ts';

/** What a VM gets when neither request, config nor manifest says anything. */
export const DEFAULT_RESOURCES = { cpu_cores: 2, memory_mb: 2048 } as const;

export interface ResolutionDefaults {
  /** The endpoint that guests are told. */
  readonly apiHost: string;
  readonly apiPort: number;
  readonly cpuCoresMax: number;
  readonly memoryMbMin: number;
  readonly memoryMbMax: number;
  readonly kernelCmdlineBytesMax: number;
}

/**
 * The complete config of a new VM. `manifest` is the plugin's, or the config's own where it has one.
 * BODY_INVALID names every field that is out of bounds or that the guest would not take, FEATURE_UNAVAILABLE every
 * field that asks for what this version does not have. CMDLINE_TOO_LONG where some launch of it would be refused.
 */
export function resolveConfig(
  request: Omit<CreateVmRequest, 'name'>,
  manifest: Manifest,
  defaults: ResolutionDefaults,
): VmConfig {
  const given: VmConfigInput = request.config ?? {};
  const resolved: VmConfig = {
    ...withoutNulls(inNormalForm(VmConfigSchema, given)),
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
  if (Object.keys(details).length > 0)
    throw new VolantError('BODY_INVALID', undefined, { details });
}

/** Fields of the contract that need what is not built yet are refused by name, never ignored. */
function checkFeatures(config: VmConfig): void {
  const { manifest } = config;
  const details: Record<string, string> = {};
  const datasource = config.cloud_init?.datasource || manifest.cloud_init?.datasource || 'NoCloud';
  if (datasource.toLowerCase() !== 'nocloud') {
    details['cloud_init.datasource'] = 'only NoCloud is available';
  }
  if (![config.initramfs, config.rootfs, manifest.initramfs, manifest.rootfs].some(hasUrl)) {
    details['initramfs.url'] = 'is required where there is no rootfs';
  }
  if (Object.keys(details).length > 0) {
    throw new VolantError('FEATURE_UNAVAILABLE', undefined, { details });
  }
}

/**
 * What the guest's agent and its kernel take of it. A manifest was checked when it came, maybe by an earlier version of
 * this program; with disks of its own and the arguments of the config it is more.
 */
function checkGuest(config: VmConfig, kernelCmdlineBytesMax: number): void {
  const problems = Object.entries(guestProblems(config.manifest, mountsOf(config)));
  if (problems.length > 0) {
    const details = Object.fromEntries(problems.map(([path, why]) => [`manifest.${path}`, why]));
    throw new VolantError('BODY_INVALID', undefined, { details });
  }
  // The name, the address and the accelerator of a launch are those that take the most room.
  const visible = visibleOf(config, LONGEST_LAUNCH);
  complete(LONGEST_LAUNCH.name, visible, config, kernelCmdlineBytesMax);
}

export function networkModeOf(config: VmConfig): NetworkMode {
  const given = config.network?.mode ?? config.manifest.network?.mode;
  return NETWORK_MODES.find((mode) => mode === given) ?? 'bridged';
}

/** The address that the VM asks for; null when any will do. */
export function requestedAddressOf(config: VmConfig): string | null {
  return (config.network ?? config.manifest.network)?.ip_address?.trim() || null;
}

/** Host devices that the VM is given, by address in lower case. The config's own replace the manifest's. */
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
  /** `auto` is what the VM needs. */
  readonly machine: 'auto' | 'q35';
  readonly runDirectory: string;
  readonly hostIp: string;
  readonly prefixLength: number;
  readonly nameServers: readonly string[];
  readonly kernelCmdlineBytesMax: number;
}

export interface ResolvedLaunch {
  /** All but the images, which are got hold of during the launch. */
  readonly spec: Omit<LaunchSpec, 'initramfsPath' | 'disks'>;
  readonly media: MediaPlan;
  readonly exposedPorts: readonly ExposedPort[];
  /** Which devices of the host the VM may be given at all, besides the operator's own list. */
  readonly deviceAllowlist: readonly string[];
  /** For the record and the API. */
  readonly kernelCmdline: string;
  /** The manifest to send over the agent's channel; null when it is on the command line. */
  readonly manifestOverChannel: string | null;
}

/** Everything that a driver must know for one launch. CMDLINE_TOO_LONG, nothing else. */
export function resolveLaunch(input: LaunchInput): ResolvedLaunch {
  const { config, leases } = input;
  const pciDevices = pciDevicesOf(config);
  const media = mediaPlanOf(config);
  const visible = visibleOf(config, input);
  const { cmdline, manifestOverChannel } = complete(
    input.name,
    visible,
    config,
    input.kernelCmdlineBytesMax,
  );
  return {
    kernelCmdline: visible,
    manifestOverChannel,
    exposedPorts: exposedPortsOf(config, input.replica),
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
      start: { kind: 'cold' },
    },
  };
}

/** What the command line of a launch is made of, beside its config. */
type CmdlineInput = Pick<LaunchInput, 'name' | 'hostIp' | 'prefixLength' | 'nameServers'> & {
  readonly facts: Pick<HypervisorFacts, 'accelerator' | 'tscKhz'>;
  readonly leases: Pick<VmLeases, 'ipAddress' | 'macAddress'>;
};

/** Resolvers ask no more of them (resolv.conf(5), MAXNS). */
const NAME_SERVERS_MAX = 3;

const LONGEST_ADDRESS = '255.255.255.255';

/** No launch has a longer command line. */
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
  return visibleArguments(input.facts, input.name, network, [
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

/** For a guest whose seed leaves the network to us. */
function networkConfigArguments(
  { seed }: MediaPlan,
  network: GuestNetwork | null,
  macAddress: string,
): readonly string[] {
  if (seed === null || seed.network_config !== null || network === null) return [];
  return [networkConfigArgument(network, macAddress)];
}

/** What a VM that runs with this visible command line must get over the channel; null when nothing. */
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
  const agent = { plugin, runtime, hostName, bootsFromDisk, ...endpoint };
  const manifestJson = manifestForGuest(config.manifest, mountsOf(config));
  const { cmdline, manifestOverChannel } = completeCmdline(visible, agent, manifestJson, bytesMax);
  return { cmdline, manifestOverChannel: manifestOverChannel ? manifestJson : null };
}

function hasUrl(image: { readonly url?: string } | null | undefined): boolean {
  return Boolean(image?.url);
}

/** What the agent mounts before the workload starts. */
function mountsOf(config: VmConfig): readonly GuestMount[] {
  return mediaPlanOf(config).disks.flatMap(({ serial, mountPoint, readonly }) =>
    mountPoint === null ? [] : [{ serial, target: mountPoint, readonly }],
  );
}

function firstPositive(...values: (number | undefined)[]): number {
  return values.find((value) => value !== undefined && value > 0) ?? 0;
}

/** "0" and the empty text mean: not set. */
function portOf(port: string | undefined): string | undefined {
  return port === undefined || port === '' || port === '0' ? undefined : port;
}

function withoutNulls(config: VmConfigInput): Partial<VmConfig> {
  const present = Object.entries(config).filter(([, value]) => value !== null);
  return Object.fromEntries(present) as Partial<VmConfig>;
}
