// engine, configs: applies a patch to a config. The result is not checked here. Pure.

import { isDeepStrictEqual } from 'node:util';
import type { ConfigPatch } from '../../schema/config-patch.ts';
import type { VmConfig, VmConfigInput } from '../../schema/vm-config.ts';

/** Optional members: null removes them. */
const REMOVABLE = [
  'devices',
  'metadata',
  'expose',
  'cloud_init',
  'network',
  'initramfs',
  'rootfs',
  'stop_grace_seconds',
  'autostart',
  'metadata_service',
] as const;

/**
 * Applies a patch. Absent members keep their value. Strings and whole objects are replaced. resources and api are
 * merged by member, and there 0, "" and null keep the value, because clients send complete configs with unset numbers.
 */
export function mergeConfig(current: VmConfig, patch: ConfigPatch): VmConfigInput {
  const merged: Record<string, unknown> = { ...current };
  for (const name of ['runtime', 'kernel_cmdline', 'kernel_override', 'manifest'] as const) {
    const value = patch[name];
    if (value !== undefined && value !== null) merged[name] = value;
  }
  for (const name of REMOVABLE) {
    if (patch[name] === null) delete merged[name];
    else if (patch[name] !== undefined) merged[name] = patch[name];
  }
  merged['resources'] = mergeSet(current.resources, patch.resources);
  merged['api'] = mergeSet(current.api, patch.api);
  return merged as VmConfigInput;
}

/** Whether a change from one config to the other would change nothing. */
export function isSameConfig(one: VmConfig, other: VmConfig): boolean {
  return isDeepStrictEqual(asStored(one), asStored(other));
}

/** As JSON, which drops members that are undefined. */
function asStored(config: VmConfig): unknown {
  return JSON.parse(JSON.stringify(config));
}

function mergeSet<T extends object>(current: T, patch: object | null | undefined): T {
  const set = Object.entries(patch ?? {}).filter(([, value]) => Boolean(value));
  return { ...current, ...Object.fromEntries(set) };
}
