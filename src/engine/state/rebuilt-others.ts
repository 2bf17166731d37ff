// engine, state: rebuilds records other than those of VMs, after the store was lost: plugins, deployments, and devices
// that living hypervisors hold. Existing records stay as they are. Pure. rebuilt.ts rebuilds the VMs.

import type { Snapshot, Write } from '../ports/store-ports.ts';
import type {
  DeploymentRecord,
  DeviceRecord,
  PluginRecord,
  ProcessIdentity,
  VmDescription,
} from '../records.ts';

/** The default of a new deployment; the previous value is unknown. */
const MAX_UNAVAILABLE = 1;

/** A VM with the description that its last launch left. `process` is null if its hypervisor has ended. */
export interface DescribedVm {
  readonly process: ProcessIdentity | null;
  readonly description: VmDescription;
}

/** Plugins as of the newest launch that knew them. */
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

/** null: the plugin was not installed any more. */
function pluginIn({ plugin, config: { manifest } }: VmDescription): PluginRecord | null {
  if (plugin === null) return null;
  // Earlier versions did not store this, so every description that has it counts before this one.
  if (plugin === undefined) return { manifest, enabled: true, installedAtMs: 0 };
  const { enabled, installedAtMs } = plugin;
  return { manifest: plugin.manifest ?? manifest, enabled, installedAtMs };
}

/**
 * Deployments of which only replicas are known. The desired number is unknown, so each keeps the replicas that were
 * found, and is not reconciled until a client says what it shall be.
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
  // A replica of the newest revision. One whose own config was changed says less about the deployment.
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
 * Devices of living hypervisors: no other VM may get them, and their former drivers are recorded. For a VM that has
 * ended it is unknown whether its devices were given back.
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
