// schema: rules for the container image of a manifest, and what it leaves open that the image says. Pure. Whether the image is
// there is found out when a VM is launched.

import { IMAGE_DIGEST, parseImageReference } from '../../lib/formats/image-reference.ts';
import { signalNumber } from '../../lib/formats/signals.ts';
import type { Manifest, Workload } from '../manifest.ts';

/** What a manifest with an image gets if it says nothing of resources. */
export const IMAGE_RESOURCES = { cpu_cores: 1, memory_mb: 512 } as const;

type MediaMembers = Pick<Manifest, 'image' | 'image_digest' | 'rootfs' | 'initramfs'>;

/** The image that a VM of this manifest runs; null if it boots from files. An image beside files is a note. */
export function containerImageOf({
  image,
  image_digest,
  rootfs,
  initramfs,
}: MediaMembers): { readonly name: string; readonly digest: string | null } | null {
  const isNote = rootfs.url !== '' || initramfs.url !== '';
  return image === undefined || isNote ? null : { name: image, digest: image_digest ?? null };
}

/** Checks the name and the digest of an image that a VM is to run. */
export function checkContainerImage(
  image: string,
  digest: string | undefined,
  problems: Record<string, string>,
): void {
  const reference = parseImageReference(image);
  if (typeof reference === 'string') problems['image'] = reference;
  if (digest !== undefined && !IMAGE_DIGEST.test(digest)) {
    problems['image_digest'] = 'must be sha256: and 64 lower-case hexadecimal digits';
  }
  const named =
    typeof reference === 'string' || reference.kind !== 'registry' ? null : reference.digest;
  if (digest !== undefined && named !== null && named !== digest) {
    problems['image_digest'] = 'is another digest than that in image';
  }
}

/** The version of a manifest that says none: the tag of its image. */
export function versionOfImage(image: string): string {
  const reference = parseImageReference(image);
  if (typeof reference === 'string') return '';
  if (reference.kind !== 'registry') return reference.name?.split(':').at(-1) ?? 'latest';
  return reference.tag ?? reference.digest?.slice(0, 'sha256:'.length + 12) ?? 'latest';
}

/** The members of a workload that concern how it is started and ended, in the form that the agent takes. */
export function guestWorkload({ stop_signal, ...workload }: Workload) {
  const signal = stop_signal === undefined ? null : signalNumber(stop_signal);
  return signal === null ? workload : { ...workload, stop_signal: signal };
}
