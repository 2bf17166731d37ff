// cli: reads a manifest from a file or URL, and completes it for the daemon, which does not know the directory of the file:
// relative paths become absolute, and cloud-init documents are embedded.

import { isUtf8 } from 'node:buffer';
import { dirname, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import type { ManifestInput } from '../client/types.ts';
import { asObject, parseData, readBytes, readText, toText } from './arguments.ts';
import { UsageError } from './exit.ts';

const DOWNLOAD_TIMEOUT_MS = 30_000;

/** From a file, a URL, or standard input for `-`. */
export async function readManifest(source: string, stdin: Readable): Promise<ManifestInput> {
  if (/^https?:\/\//.test(source)) {
    return asObject(await parseData(await download(source), source), source) as ManifestInput;
  }
  const manifest = asObject(await parseData(await readText(source, stdin), source), source);
  const directory = source === '-' ? process.cwd() : dirname(resolve(source));
  return completeManifest(manifest as ManifestInput, directory, stdin);
}

/** Makes paths that are relative to a directory absolute; other locations are unchanged. */
export async function completeManifest(
  manifest: ManifestInput,
  directory: string,
  stdin: Readable,
): Promise<ManifestInput> {
  const { rootfs, initramfs, disks, cloud_init } = manifest;
  const absolute = (path: string) =>
    path === '' || /^[a-z]+:\/\//i.test(path) ? path : resolve(directory, path);
  const withUrl = <T extends { url?: string }>(image: T): T =>
    typeof image.url === 'string' ? { ...image, url: absolute(image.url) } : image;
  const completed: ManifestInput = { ...manifest };
  if (rootfs) completed.rootfs = withUrl(rootfs);
  if (initramfs) completed.initramfs = withUrl(initramfs);
  // What has another form than a manifest's is sent unchanged, and refused by the daemon.
  if (Array.isArray(disks)) {
    completed.disks = disks.map((disk) =>
      typeof disk?.source === 'string' ? { ...disk, source: absolute(disk.source) } : disk,
    );
  }
  if (typeof cloud_init === 'object' && cloud_init !== null) {
    const inlined = { ...cloud_init };
    for (const name of ['user_data', 'meta_data', 'network_config'] as const) {
      const path = cloud_init[name]?.path;
      if (typeof path !== 'string' || path === '') continue;
      inlined[name] = inlineDocument(await readBytes(resolve(directory, path), stdin));
    }
    completed.cloud_init = inlined;
  }
  return completed;
}

/** Content that is not text, such as compressed user-data, is embedded as base64. */
function inlineDocument(
  bytes: Buffer,
): NonNullable<NonNullable<ManifestInput['cloud_init']>['user_data']> {
  const isText = isUtf8(bytes) && !bytes.includes(0);
  return isText
    ? { inline: true, content: bytes.toString() }
    : { inline: true, content: bytes.toString('base64'), encoding: 'base64' };
}

async function download(url: string): Promise<string> {
  let response: Response;
  try {
    response = await fetchAtAnyPort(url, AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS));
  } catch (error) {
    throw new Error(`${url} cannot be reached`, { cause: error });
  }
  if (!response.ok) throw new UsageError(`${url} answers ${response.status}`);
  return toText(new Uint8Array(await response.arrayBuffer()), url);
}

/**
 * The global fetch follows redirects, but refuses ports that other protocols use (10080, 6000 and a few more), though a
 * server may listen there.
 */
async function fetchAtAnyPort(url: string, signal: AbortSignal): Promise<Response> {
  try {
    return await fetch(url, { signal });
  } catch (error) {
    const { cause } = error as { cause?: { message?: string } };
    if (cause?.message !== 'bad port') throw error;
    const { nodeFetch } = await import('../client/node-http.ts');
    return await nodeFetch({})(url, { method: 'GET', headers: {}, signal });
  }
}
