// cli: a manifest as a file or a URL has it -> as the daemon takes it. The daemon knows nothing of the
// directory that a file lies in: paths are made absolute, and cloud-init documents are put in.

import { isUtf8 } from 'node:buffer';
import { dirname, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { fetchAtAnyPort } from '../client/transport.ts';
import type { ManifestInput } from '../client/types.ts';
import { asObject, parseData, readBytes, readText, toText } from './arguments.ts';
import { UsageError } from './exit.ts';

const DOWNLOAD_TIMEOUT_MS = 30_000;

/** Of a file, a URL, or standard input for `-`. */
export async function readManifest(source: string, stdin: Readable): Promise<ManifestInput> {
  if (/^https?:\/\//.test(source)) {
    return asObject(await parseData(await download(source), source), source) as ManifestInput;
  }
  const manifest = asObject(await parseData(await readText(source, stdin), source), source);
  const directory = source === '-' ? process.cwd() : dirname(resolve(source));
  return completeManifest(manifest as ManifestInput, directory, stdin);
}

/** Paths relative to a directory made absolute; what is elsewhere is left as it is. */
export async function completeManifest(
  manifest: ManifestInput,
  directory: string,
  stdin: Readable,
): Promise<ManifestInput> {
  const { rootfs, initramfs, disks, cloud_init } = manifest;
  const absolute = (path: string) =>
    path === '' || /^[a-z]+:\/\//i.test(path) ? path : resolve(directory, path);
  const withUrl = <T extends { url?: string }>(image: T): T =>
    image.url === undefined ? image : { ...image, url: absolute(image.url) };
  const completed: ManifestInput = { ...manifest };
  if (rootfs) completed.rootfs = withUrl(rootfs);
  if (initramfs) completed.initramfs = withUrl(initramfs);
  if (disks !== undefined) {
    completed.disks = disks.map((disk) =>
      disk.source === undefined ? disk : { ...disk, source: absolute(disk.source) },
    );
  }
  if (cloud_init) {
    const inlined = { ...cloud_init };
    for (const name of ['user_data', 'meta_data', 'network_config'] as const) {
      const path = cloud_init[name]?.path;
      if (path === undefined || path === '') continue;
      inlined[name] = inlineDocument(await readBytes(resolve(directory, path), stdin));
    }
    completed.cloud_init = inlined;
  }
  return completed;
}

/** What is no text, such as packed user-data, stays the bytes that it is. */
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
    const signal = AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS);
    response = await fetchAtAnyPort(url, { method: 'GET', headers: {}, signal });
  } catch (error) {
    throw new Error(`${url} cannot be reached`, { cause: error });
  }
  if (!response.ok) throw new UsageError(`${url} answers ${response.status}`);
  return toText(new Uint8Array(await response.arrayBuffer()), url);
}
