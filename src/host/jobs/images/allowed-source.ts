// jobs, images: whether an image may be taken from where its name says, under the rules for all images of VMs: files below
// directories that the operator allows, and servers that are public or that the operator has named.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { ImageReference, LocalReference } from '../../../lib/formats/image-reference.ts';
import { AddressRefused, isNamedHost, requirePublicHost } from '../../../lib/net/guarded-get.ts';
import { JobFault } from '../fault.ts';
import { inspectMedia } from '../media/boot-media.ts';
import type { HostSettings } from '../protocol.ts';

/** Docker Hub's registry has another host than its names. */
const SERVED_BY: ReadonlyMap<string, string> = new Map([['docker.io', 'registry-1.docker.io']]);

/** Throws MEDIA_NOT_ALLOWED, MEDIA_INVALID. */
export async function requireSource(
  settings: HostSettings,
  reference: ImageReference,
): Promise<void> {
  if (reference.kind !== 'registry') return requireLocal(settings, reference);
  const { host } = reference;
  const { mediaHosts } = settings;
  const url = new URL(`https://${host}`);
  if (isNamedHost(url, mediaHosts)) return;
  if (mediaHosts.length > 0 && !mediaHosts.includes('*')) {
    const why = `${host} is not among the hosts of VOLANT_MEDIA_HOSTS`;
    throw new JobFault('MEDIA_NOT_ALLOWED', why);
  }
  try {
    await requirePublicHost(new URL(`https://${SERVED_BY.get(host) ?? host}`));
  } catch (error) {
    if (!(error instanceof AddressRefused)) throw error;
    const why = `${error.message}: images come from there only if VOLANT_MEDIA_HOSTS names the host`;
    throw new JobFault('MEDIA_NOT_ALLOWED', why);
  }
}

/** A layout is known by its index. */
function requireLocal(settings: HostSettings, { kind, path }: LocalReference): void {
  const file = kind === 'oci' ? join(path, 'index.json') : path;
  inspectMedia({ settings, path: file, kind: null });
  const isDirectory = statSync(path).isDirectory();
  if (isDirectory === (kind === 'oci')) return;
  throw new JobFault('MEDIA_INVALID', `${path} is not what ${kind}: names`);
}
