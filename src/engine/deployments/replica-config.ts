// engine, deployments: the config that every replica of a deployment is made from. Errors name fields of the
// deployment's request.

import { VolantError } from '../../lib/errors.ts';
import type { VmConfig, VmConfigInput } from '../../schema/vm-config.ts';
import { missingWarnings } from '../media/missing-files.ts';
import { type Plugins, prefixed } from '../plugins/plugins.ts';
import { nameOf, replicaPortsOf } from '../published-ports/published-ports.ts';
import type { DeploymentRecord } from '../records.ts';
import type { Admission } from '../vms/admission.ts';
import { pciDevicesOf, requestedAddressOf } from '../vms/launch/launch-spec.ts';

type Rules = { readonly plugins: Plugins; readonly admission: Admission };

/** The complete config. Throws everything that a VM can be refused for, and PORT_TAKEN for the ports of any replica. */
export function replicaConfig(
  { plugins, admission }: Rules,
  config: VmConfigInput,
  deployment: string,
  replicas: number,
): VmConfig {
  const manifest = plugins.manifestFor({ name: 'replica', config });
  return withFields(() => {
    const resolved = admission.configOf({ config }, manifest);
    if (requestedAddressOf(resolved) !== null) {
      const details = { 'network.ip_address': 'is for one VM, replicas get an address each' };
      throw new VolantError('BODY_INVALID', undefined, { details });
    }
    refuseSharedDevices(resolved, replicas);
    admission.requireReplicaPorts(deployment, replicas, resolved);
    return resolved;
  });
}

/** Checks the ports of an existing deployment with this many replicas. Throws PORT_TAKEN or BODY_INVALID. */
export function requireReplicas(
  { admission }: Pick<Rules, 'admission'>,
  { name, config }: Pick<DeploymentRecord, 'name' | 'config'>,
  replicas: number,
): void {
  withFields(() => {
    refuseSharedDevices(config, replicas);
    admission.requireReplicaPorts(name, replicas, config);
  });
}

function refuseSharedDevices(config: VmConfig, replicas: number): void {
  if (replicas <= 1 || pciDevicesOf(config).length === 0) return;
  const why = `a device is for one VM, and there would be ${replicas} replicas`;
  const details = { 'devices.pci_passthrough': why };
  throw new VolantError('BODY_INVALID', undefined, { details });
}

/**
 * Checks a config as LaunchPlanner.requireLaunchable does: a replica that cannot be launched would be created again
 * forever. Returns a warning for each file that must exist before its replicas can start.
 */
export async function requireLaunchable(
  { admission }: Pick<Rules, 'admission'>,
  { config }: Pick<DeploymentRecord, 'config'>,
  before?: VmConfig,
): Promise<readonly string[]> {
  try {
    const missing = await admission.requireLaunchable(config, 'resources.memory_mb', before);
    return missingWarnings(prefixed(missing, 'config.'));
  } catch (error) {
    throw inConfig(error);
  }
}

/**
 * Throws PORT_TAKEN if another program of the host has a port that replicas would get: they would be created again
 * forever. Ports that the deployment had before are ignored, so that a lost one does not keep it as it is.
 */
export function requireFreePorts(
  { admission }: Pick<Rules, 'admission'>,
  after: Pick<DeploymentRecord, 'config' | 'desiredReplicas'>,
  before?: Pick<DeploymentRecord, 'config' | 'desiredReplicas'>,
): Promise<void> {
  const had = new Set(before === undefined ? [] : portsOf(before).map(nameOf));
  return admission.requireFreePorts(portsOf(after).filter((port) => !had.has(nameOf(port))));
}

const portsOf = ({
  config,
  desiredReplicas,
}: Pick<DeploymentRecord, 'config' | 'desiredReplicas'>) => replicaPortsOf(config, desiredReplicas);

function withFields<T>(resolve: () => T): T {
  try {
    return resolve();
  } catch (error) {
    throw inConfig(error);
  }
}

/** What goes wrong with the config names its fields as the request has them. */
function inConfig(error: unknown): unknown {
  if (!(error instanceof VolantError) || error.details === undefined) return error;
  // Ports and devices are named by themselves, not by a field.
  if (error.code === 'PORT_TAKEN' || error.code === 'DEVICE_NOT_FOUND') return error;
  const details = prefixed(error.details, 'config.');
  return new VolantError(error.code, error.title, { details });
}
