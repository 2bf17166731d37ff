// engine: what a VM boots from and which disks it has, as its config says. Pure. Getting hold of the
// images is media.ts's business.

import { VolantError } from '../lib/errors.ts';
import type { VmConfig } from '../schema/vm-config.ts';
import { type SeedSources, seedSourcesOf } from './cloud-init.ts';

/** virtio-blk cuts a serial number here (VIRTIO_BLK_ID_BYTES). */
const SERIAL_BYTES_MAX = 20;

/** An image, as its owner names it. */
export interface MediaSource {
  /** An absolute path, or an http or https address. */
  readonly location: string;
  readonly isRemote: boolean;
  readonly checksum: string | null;
}

export interface PlannedDisk {
  readonly name: string;
  readonly serial: string;
  readonly source: MediaSource;
  readonly format: 'raw' | 'qcow2';
  readonly readonly: boolean;
  /** Where the agent mounts it; null when nobody asked for that. */
  readonly mountPoint: string | null;
}

export interface MediaPlan {
  /** null where the daemon's own kernel is meant. */
  readonly kernelPath: string | null;
  readonly initramfs: MediaSource | null;
  /** The guest goes on from its first disk; where it has no initramfs either, the daemon's own leads there. */
  readonly bootsFromDisk: boolean;
  /** In the order of the guest's devices: the first is vda. */
  readonly disks: readonly PlannedDisk[];
  /** Becomes the last disk; null for a VM without cloud-init. */
  readonly seed: SeedSources | null;
}

export function mediaPlanOf(config: VmConfig): MediaPlan {
  const { manifest } = config;
  const rootfs = config.rootfs?.url ? config.rootfs : manifest.rootfs;
  const initramfs = config.initramfs?.url ? config.initramfs : manifest.initramfs;
  return {
    kernelPath: config.kernel_override || null,
    initramfs: initramfs.url ? sourceOf(initramfs.url, initramfs.checksum) : null,
    bootsFromDisk: Boolean(rootfs.url),
    disks: [...rootDisks(rootfs), ...(manifest.disks ?? []).map(plannedDisk)],
    seed: seedSourcesOf(config),
  };
}

function rootDisks({ url, checksum, format }: NonNullable<VmConfig['rootfs']>): PlannedDisk[] {
  if (!url) return [];
  const source = sourceOf(url, checksum);
  const rest = { readonly: false, mountPoint: null };
  return [{ name: 'rootfs', serial: 'rootfs', source, format: formatOf(format), ...rest }];
}

function plannedDisk(disk: NonNullable<VmConfig['manifest']['disks']>[number]): PlannedDisk {
  const { name = '', source = '', checksum, format, target = '' } = disk;
  const isMountPoint = target.startsWith('/');
  return {
    name,
    serial: (isMountPoint || target === '' ? name : target).slice(0, SERIAL_BYTES_MAX),
    source: sourceOf(source, checksum),
    format: formatOf(format),
    readonly: disk.readonly ?? false,
    mountPoint: isMountPoint ? target : null,
  };
}

function formatOf(format: string | undefined): 'raw' | 'qcow2' {
  return format?.trim().toLowerCase() === 'qcow2' ? 'qcow2' : 'raw';
}

function sourceOf(url: string, checksum: string | undefined): MediaSource {
  const isRemote = /^https?:/i.test(url);
  return { location: isRemote ? url : pathOf(url), isRemote, checksum: checksum?.trim() || null };
}

/** The path of a file URL; anything else is a path already. MEDIA_INVALID. */
export function pathOf(url: string): string {
  if (!url.startsWith('file://')) return url;
  try {
    return decodeURIComponent(new URL(url).pathname);
  } catch (error) {
    throw new VolantError('MEDIA_INVALID', `${url} is not a file URL`, { cause: error });
  }
}
