// jobs, images: from the layers of an image to a root disk: their entries applied one after the other, then a directory, then
// a file system. What the image says of its program goes with it, for the agent.

import { linkSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ImageSettings } from '../../../engine/ports/media-ports.ts';
import { signalNumber } from '../../../lib/formats/signals.ts';
import { errnoOf } from '../fault.ts';
import { FileStore } from './file-store.ts';
import { ImageTree } from './image-tree.ts';
import { type Layer, withLayer } from './layer-stream.ts';
import { materialise } from './materialise.ts';
import { makeRootDisk } from './root-disk.ts';
import { Truncated } from './tar/byte-source.ts';
import { TarInvalid } from './tar/tar-invalid.ts';
import { readTar } from './tar/tar-reader.ts';

/** The agent reads this file of the root disk (native/guest/workload/image.c). */
const SETTINGS_FILE = '.volant-image.json';
const BLOCK_BYTES = 4096;

export interface Unpacking {
  /** A directory of the caller's. */
  readonly work: string;
  /** The path of the root disk, which must not exist. */
  readonly disk: string;
  readonly layers: readonly Layer[];
  readonly image: ImageSettings;
  readonly bytesMax: number;
  /** Throws if the disk of the host has no room for so many bytes. */
  readonly requireSpace: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/** Makes the root disk. Returns the bytes of all unpacked files. Throws TarInvalid and JobFault. */
export async function unpackImage(unpacking: Unpacking): Promise<number> {
  const { work, disk, requireSpace, bytesMax, signal } = unpacking;
  const contents = join(work, 'contents');
  mkdirSync(contents, { mode: 0o700 });
  const store = new FileStore(contents, { requireSpace, bytesMax });
  const tree = new ImageTree((content) => store.discard(content));
  await applyLayers(unpacking, tree, store);
  await completeTree(unpacking.image, tree, store);
  const { nodes, blocks } = tree.measure(BLOCK_BYTES);
  requireSpace(blocks * BLOCK_BYTES);
  const directory = join(work, 'root');
  await materialise(tree.root, directory, store, signal);
  const { uid, gid, mode } = tree.root.attributes;
  const root = { rootUid: uid, rootGid: gid, rootMode: mode };
  await makeRootDisk(disk, { directory, nodes, blocks, ...root }, signal);
  return store.unpackedBytes;
}

async function applyLayers(
  { work, layers, signal }: Unpacking,
  tree: ImageTree,
  store: FileStore,
): Promise<void> {
  for (const [index, layer] of layers.entries()) {
    tree.beginLayer();
    // A name of its own: the cache may be trimmed meanwhile.
    const path = join(work, `layer-${index}`);
    try {
      linkSync(layer.path, path);
      await withLayer({ ...layer, path }, signal, (stream) => apply(stream, tree, store));
    } catch (error) {
      // A damaged blob would be found again at every try.
      if (error instanceof TarInvalid) rmSync(layer.path, { force: true });
      throw inLayer(error, index + 1);
    }
    rmSync(path, { force: true });
  }
}

async function apply(
  stream: AsyncIterable<Uint8Array>,
  tree: ImageTree,
  store: FileStore,
): Promise<void> {
  for await (const entry of readTar(stream)) {
    const isWhiteout = /(^|\/)\.wh\.[^/]*\/*$/.test(entry.path);
    if (entry.kind !== 'file' || isWhiteout) {
      tree.apply(entry, null);
      continue;
    }
    const content = await store.add(entry.sizeBytes, entry.content);
    tree.apply(entry, content);
  }
}

/** What programs that start containers make: the working directory, and the directories of volumes. */
async function completeTree(
  image: ImageSettings,
  tree: ImageTree,
  store: FileStore,
): Promise<void> {
  const bytesOf = (text: string) => Buffer.from(text).toString('latin1');
  // The agent writes names there.
  for (const path of ['/etc', image.workdir, ...image.volumes]) tree.makeDirectory(bytesOf(path));
  const bytes = Buffer.from(JSON.stringify(forAgent(image)));
  async function* content() {
    yield { offset: 0, bytes };
  }
  tree.putFile(SETTINGS_FILE, await store.add(bytes.length, content()), bytes.length);
}

/** The settings in the words of a manifest's workload. */
function forAgent({
  entrypoint,
  command,
  env,
  user,
  workdir,
  stop_signal,
  exposed_ports,
}: ImageSettings) {
  const port = exposed_ports.find(({ protocol }) => protocol === 'tcp')?.port ?? 0;
  const signal = signalNumber(stop_signal) ?? 0;
  return { entrypoint, args: command, env, user, workdir, stop_signal: signal, port };
}

function inLayer(error: unknown, number: number): unknown {
  if (error instanceof TarInvalid)
    return new TarInvalid(`has a layer (${number}) that ${error.message}`);
  if (error instanceof Truncated)
    return new TarInvalid(`has a layer (${number}) that is truncated: ${error.message}`);
  if (errnoOf(error) === 'ENOENT')
    return new TarInvalid(`has a layer (${number}) that is not there`);
  return error;
}
