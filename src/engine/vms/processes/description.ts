// engine, vms: the description of a VM that is kept in its run directory. It is enough to restore the records of the
// VM, its plugin, its devices and its place in a deployment after the store is lost. Pure.

import { isDeepStrictEqual } from 'node:util';
import type { VmConfig } from '../../../schema/vm-config.ts';
import type { DeviceRecord, PluginRecord, VmDescription, VmRecord } from '../../records.ts';

export interface Described {
  readonly record: VmRecord;
  readonly config: VmConfig;
  /** The host devices of the VM. */
  readonly devices: readonly DeviceRecord[];
  /** The plugin as installed; undefined if it is not installed any more. */
  readonly plugin: PluginRecord | undefined;
}

/** The description of a running VM. */
export function descriptionOf({ record, config, devices, plugin }: Described): VmDescription {
  return {
    record,
    config,
    devices,
    plugin:
      plugin === undefined
        ? null
        : {
            enabled: plugin.enabled,
            installedAtMs: plugin.installedAtMs,
            // Manifests are long, and most VMs use the one of their plugin.
            manifest: isDeepStrictEqual(plugin.manifest, config.manifest) ? null : plugin.manifest,
          },
  };
}
