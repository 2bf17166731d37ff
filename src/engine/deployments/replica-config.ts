// engine, deployments: what every replica of a deployment is made from, settled once. Names fields as
// the request for a deployment has them.

import { VolantError } from '../../lib/errors.ts';
import type { VmConfig, VmConfigInput } from '../../schema/vm-config.ts';
import { type Plugins, prefixed } from '../plugins.ts';
import type { DeploymentRecord } from '../records.ts';
import type { Admission } from '../vms/admission.ts';
import { requestedAddressOf } from '../vms/launch-spec.ts';

type Rules = { readonly plugins: Plugins; readonly admission: Admission };

/** The complete config. Whatever a VM may be refused for, and PORT_TAKEN for any of the replicas. */
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
    admission.requireReplicaPorts(deployment, replicas, resolved);
    return resolved;
  });
}

/** The same for a deployment that is there already and shall have so many replicas. PORT_TAKEN, BODY_INVALID. */
export function requirePorts(
  { admission }: Pick<Rules, 'admission'>,
  { name, config }: Pick<DeploymentRecord, 'name' | 'config'>,
  replicas: number,
): void {
  withFields(() => admission.requireReplicaPorts(name, replicas, config));
}

/** A replica that cannot boot would be made anew for ever. BODY_INVALID. */
export function requireMemory(
  { admission }: Pick<Rules, 'admission'>,
  { config }: Pick<DeploymentRecord, 'config'>,
): Promise<void> {
  return admission.requireMemory(config, 'config.resources.memory_mb');
}

function withFields<T>(resolve: () => T): T {
  try {
    return resolve();
  } catch (error) {
    if (!(error instanceof VolantError) || error.details === undefined) throw error;
    // Ports are named by their number, not by a field.
    if (error.code === 'PORT_TAKEN') throw error;
    const details = prefixed(error.details, 'config.');
    throw new VolantError(error.code, error.title, { details });
  }
}
