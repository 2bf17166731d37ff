// engine: what is written anew beside the VMs that were forgotten: their plugins, the deployments that they belong to and
// the devices that their hypervisors hold. What is known already is left as it is. Pure.

import type {
  DeploymentRecord,
  DeviceRecord,
  PluginRecord,
  ProcessIdentity,
  VmDescription,
} from './records.ts';
import type { Snapshot, Write } from './store-ports.ts';

/** As a new deployment has it: what its owner had chosen is not known any more. */
const MAX_UNAVAILABLE = 1;

/** A VM whose hypervisor lives or has ended, and what its last launch left. */
export interface DescribedVm {
  readonly process: ProcessIdentity | null;
  readonly description: VmDescription;
}

/** Plugins as they were at the newest launch that knew them. */
export function writesOfPlugins(
  vms: readonly DescribedVm[],
  { plugins }: Pick<Snapshot, 'plugins'>,
): Write[] {
  const known = new Set(plugins.map(({ manifest }) => manifest.name));
  const newest = new Map<string, PluginRecord>();
  for (const { description } of vms) {
    const record = pluginIn(description);
    if (record === null || known.has(record.manifest.name)) continue;
    const other = newest.get(record.manifest.name);
    if (other === undefined || other.installedAtMs < record.installedAtMs) {
      newest.set(record.manifest.name, record);
    }
  }
  return [...newest].map(([key, value]) => ({ table: 'plugins', key, value }));
}

/** null: it was not installed any more. */
function pluginIn({ plugin, config: { manifest } }: VmDescription): PluginRecord | null {
  if (plugin === null) return null;
  // Earlier versions did not say what was installed: any that does knows better.
  if (plugin === undefined) return { manifest, enabled: true, installedAtMs: 0 };
  const { enabled, installedAtMs } = plugin;
  return { manifest: plugin.manifest ?? manifest, enabled, installedAtMs };
}

/**
 * Deployments of which nothing is known but their replicas. How many there shall be is not known: they have those that
 * were found, and nothing is done for them until a client says what they shall be.
 */
export function writesOfDeployments(
  vms: readonly DescribedVm[],
  { deployments }: Pick<Snapshot, 'deployments'>,
  nowMs: number,
): Write[] {
  const known = new Set(deployments.map(({ name }) => name));
  const found = new Map<string, VmDescription[]>();
  for (const { description } of vms) {
    const name = description.record.replica?.deployment;
    if (name === undefined || known.has(name)) continue;
    found.set(name, [...(found.get(name) ?? []), description]);
  }
  return [...found].map(([key, replicas]) => ({
    table: 'deployments',
    key,
    value: deploymentOf(key, replicas, nowMs),
  }));
}

function deploymentOf(
  name: string,
  replicas: readonly VmDescription[],
  nowMs: number,
): DeploymentRecord {
  const revisionOf = ({ record }: VmDescription) => record.replica?.revision ?? 0;
  // Of the newest revision; one whose own config was changed tells less of the deployment.
  const [first, ...others] = replicas.toSorted(
    (a, b) =>
      revisionOf(b) - revisionOf(a) ||
      a.record.configVersion - b.record.configVersion ||
      a.record.id - b.record.id,
  );
  if (first === undefined) throw new RangeError(`deployment ${name} has no replica`);
  return {
    name,
    status: 'active',
    desiredReplicas: replicas.length,
    maxUnavailable: MAX_UNAVAILABLE,
    config: first.config,
    revision: revisionOf(first),
    createdAtMs: Math.min(...[first, ...others].map(({ record }) => record.createdAtMs)),
    updatedAtMs: nowMs,
    isRebuilt: true,
  };
}

/**
 * Devices that hypervisors hold which live: nobody else may have them, and they go back to the drivers that they had. Of
 * a VM that has ended nobody knows whether its devices were given back.
 */
export function writesOfDevices(
  vms: readonly DescribedVm[],
  { devices }: Pick<Snapshot, 'devices'>,
): Write[] {
  const owners = new Map(devices.map(({ address, vmId }) => [address, vmId]));
  return vms.flatMap(({ process, description }): Write[] => {
    if (process === null) return [];
    const vmId = description.record.id;
    const held = description.devices ?? [];
    return held
      .filter(({ address }) => owners.get(address) !== vmId)
      .map((device) => {
        const value: DeviceRecord = { ...device, vmId, state: 'bound' };
        return { table: 'devices', key: device.address, value };
      });
  });
}
