// cli, copy: copies files and trees between this machine and a VM, as archives, with the rules of docker cp.

import { basename, dirname, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as NodeStream } from 'node:stream/web';
import { ApiError } from '../../client/errors.ts';
import { UsageError } from '../exit.ts';
import type { Shell } from '../shell.ts';
import { kindOf, packLocal, type Tally } from './local-reader.ts';
import { unpackLocal } from './local-writer.ts';
import { endOf, landingOf, type Place, parsePlace } from './places.ts';

export interface CopyOptions {
  /** Owners are kept. */
  readonly archive?: boolean;
  /** What the source leads to is copied if it is a link. */
  readonly followLink?: boolean;
}

type VmPlace = Extract<Place, { kind: 'vm' }>;
type OtherPlace = Exclude<Place, VmPlace>;

/** Resolves when everything is there. The tally counts while it runs. */
export async function copy(
  shell: Shell,
  source: string,
  destination: string,
  options: CopyOptions,
  tally: Tally,
): Promise<void> {
  const from = parsePlace(source);
  const to = parsePlace(destination);
  if (from.kind === 'vm' && to.kind !== 'vm') return copyOut(shell, from, to, options, tally);
  if (to.kind === 'vm' && from.kind !== 'vm') return copyIn(shell, from, to, options, tally);
  throw new UsageError(
    'One of SOURCE and DESTINATION must be in a VM, VM:PATH, and the other must not',
  );
}

// ---- from a VM

async function copyOut(
  shell: Shell,
  from: VmPlace,
  to: OtherPlace,
  { archive: keepsOwners = false, followLink = false }: CopyOptions,
  tally: Tally,
): Promise<void> {
  const source = endOf(from.path);
  // What ends with a slash is the directory that a link leads to.
  const follow = followLink || source.isDirectory;
  const { files } = shell.client;
  if (to.kind === 'stream') {
    if (shell.streams.stdout.isTTY) throw new UsageError('An archive is not written to a terminal');
    const as = source.isContent ? { as: '.' } : {};
    const archive = await files.readTree(from.vm, source.path, { follow, ...as });
    // Standard output stays open for others.
    await pipeline(counted(archive, tally), shell.streams.stdout, { end: false });
    return;
  }
  const { type } = await files.stat(from.vm, source.path, { follow });
  if (source.isDirectory && type !== 'directory')
    throw new UsageError(`${from.path} is no directory`);
  const { path: target, isDirectory: mustBeDirectory } = endOf(to.path);
  const landing = landingOf({
    sourceName: basename(source.path) || '.',
    source: type === 'directory' ? 'directory' : 'file',
    isContent: source.isContent,
    destination: kindOf(target, true),
    mustBeDirectory,
    written: to.path,
  });
  const as = landing.as ?? basename(target);
  const directory = landing.where === 'inside' ? target : dirname(target);
  const archive = await files.readTree(from.vm, source.path, { follow, as });
  await unpackLocal(asIterable(archive), { directory, as, keepsOwners }, tally);
}

async function* counted(
  archive: ReadableStream<Uint8Array>,
  tally: Tally,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of asIterable(archive)) {
    tally.bytes += chunk.length;
    yield chunk;
  }
}

/** Cancels the stream when its reader stops early. */
function asIterable(stream: ReadableStream<Uint8Array>): AsyncIterable<Uint8Array> {
  return Readable.fromWeb(stream as NodeStream);
}

// ---- to a VM

async function copyIn(
  shell: Shell,
  from: OtherPlace,
  to: VmPlace,
  { archive: keepOwners = false, followLink = false }: CopyOptions,
  tally: Tally,
): Promise<void> {
  const { files } = shell.client;
  const { path: target, isDirectory: mustBeDirectory } = endOf(to.path);
  if (from.kind === 'stream') {
    const { entries, bytes } = await files.writeTree(
      to.vm,
      target,
      webStream(shell.streams.stdin),
      {
        keepOwners,
      },
    );
    Object.assign(tally, { entries, bytes });
    return;
  }
  const source = endOf(from.path);
  const follows = followLink || source.isDirectory;
  const kind = kindOf(source.path, follows);
  if (kind === 'absent') throw new UsageError(`${from.path} does not exist`);
  if (source.isDirectory && kind !== 'directory')
    throw new UsageError(`${from.path} is no directory`);
  const landing = landingOf({
    sourceName: basename(resolve(source.path)),
    source: kind,
    isContent: source.isContent,
    destination: await kindInVm(shell, to.vm, target),
    mustBeDirectory,
    written: `${to.vm}:${to.path}`,
  });
  const as = landing.as ?? basename(target);
  const directory = landing.where === 'inside' ? target : dirname(target);
  const archive = Readable.from(packLocal(source.path, as, follows, tally), { objectMode: false });
  await files.writeTree(to.vm, directory, webStream(archive), { keepOwners });
}

async function kindInVm(
  { client }: Shell,
  vm: string,
  path: string,
): Promise<'file' | 'directory' | 'absent'> {
  try {
    const { type } = await client.files.stat(vm, path);
    return type === 'directory' ? 'directory' : 'file';
  } catch (error) {
    if (error instanceof ApiError && error.code === 'FILE_NOT_FOUND') return 'absent';
    throw error;
  }
}

function webStream(stream: Readable): ReadableStream<Uint8Array> {
  // The types of Node and of the platform differ for the same stream.
  return Readable.toWeb(stream) as ReadableStream<Uint8Array>;
}

/** The number of bytes for a person. */
export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), units.length);
  return `${(bytes / 1024 ** power).toFixed(1)} ${units[power - 1]}`;
}
