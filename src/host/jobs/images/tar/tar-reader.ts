// jobs, images, tar: reads a tar stream as images have it: POSIX ustar and pax (POSIX.1-2001), and GNU tar with its long names
// and sparse files. What an entry means for a file system is in image-tree.ts. Names are bytes, held in strings with one
// character for each byte.

import { LIMITS } from '../../../../config/limits.ts';
import { ByteSource } from './byte-source.ts';
import { checksumIsRight, type RawHeader, rawHeader, textAt } from './tar-header.ts';
import { TarInvalid } from './tar-invalid.ts';
import { type PaxRecords, parsePax } from './tar-pax.ts';
import { gnuMap, paxMap, type Segment, storedMap } from './tar-sparse.ts';

const BLOCK = 512;

export type TarKind =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'hardlink'
  | 'character'
  | 'block'
  | 'fifo';

/** A part of a file's content. What no part covers is zero. */
export interface Extent {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface TarEntry {
  readonly kind: TarKind;
  readonly path: string;
  /** Permissions with set-user-ID, set-group-ID and sticky bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modifiedSeconds: number;
  /** Of the file's content, holes included. */
  readonly sizeBytes: number;
  /** The target of a symbolic or hard link. */
  readonly target: string;
  readonly major: number;
  readonly minor: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  /** The content. What the reader of the entry leaves is skipped. */
  readonly content: AsyncIterable<Extent>;
}

const KINDS: Readonly<Record<string, TarKind>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

/** What records before a header say of its entry. */
interface Before {
  pax: PaxRecords | null;
  path: string | null;
  target: string | null;
}

/** Yields the entries of a stream one after the other, and reads it to its end. Throws TarInvalid, Truncated. */
export async function* readTar(stream: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const source = new ByteSource(stream);
  let globals: PaxRecords = new Map();
  let globalBytes = 0;
  let before: Before = { pax: null, path: null, target: null };
  for (;;) {
    const block = await source.read(BLOCK);
    // The end is two blocks of zeros. Some programs write one, or none.
    if (block === null || block.every((byte) => byte === 0)) break;
    if (!checksumIsRight(block)) throw new TarInvalid('is not a tar archive, or is damaged');
    const header = rawHeader(block);
    if (header.type === 'g') {
      const data = await readExtra(source, header);
      globalBytes += data.length;
      if (globalBytes > LIMITS.imageHeaderBytesMax) throw tooLong();
      globals = new Map([...globals, ...parsePax(data)]);
    } else if (header.type === 'x') {
      before.pax = parsePax(await readExtra(source, header));
    } else if (header.type === 'L') {
      before.path = withoutNul(await readExtra(source, header));
    } else if (header.type === 'K') {
      before.target = withoutNul(await readExtra(source, header));
    } else {
      const records = before.pax === null ? globals : new Map([...globals, ...before.pax]);
      yield* entryOf(source, block, header, records, before);
      before = { pax: null, path: null, target: null };
    }
  }
  await source.drain();
}

/** The data of a header that describes the next one. */
async function readExtra(source: ByteSource, { size }: RawHeader): Promise<Buffer> {
  // Of what is no number nothing can be read.
  if (!(size >= 0 && size <= LIMITS.imageHeaderBytesMax)) throw tooLong();
  const data = await source.read(size);
  await source.pass(padding(size));
  if (data === null) throw new TarInvalid('ends in the middle of a header');
  return data;
}

function tooLong(): TarInvalid {
  return new TarInvalid(`has headers of more than ${LIMITS.imageHeaderBytesMax} bytes`);
}

async function* entryOf(
  source: ByteSource,
  block: Buffer,
  header: RawHeader,
  records: PaxRecords,
  before: Before,
): AsyncGenerator<TarEntry> {
  const isDirectoryOfOld = header.type === '0' && header.path.endsWith('/');
  const kind = isDirectoryOfOld ? 'directory' : KINDS[header.type];
  if (kind === undefined) {
    throw new TarInvalid(`has an entry of the unknown type ${JSON.stringify(header.type)}`);
  }
  // Other kinds have no data, whatever their size says, as in other programs that read images.
  const given = numberIn(records, 'size') ?? header.size;
  const dataBytes = kind === 'file' ? given : 0;
  if (!Number.isSafeInteger(dataBytes) || dataBytes < 0) {
    throw new TarInvalid('has an entry whose size is not a number');
  }
  const left = { bytes: dataBytes };
  const sparse = kind === 'file' ? await sparseMap(source, block, header, records, left) : null;
  const path = records.get('GNU.sparse.name') ?? records.get('path') ?? before.path ?? header.path;
  const entry: TarEntry = {
    kind,
    path,
    mode: header.mode & 0o7777,
    uid: idIn(records, 'uid', header.uid),
    gid: idIn(records, 'gid', header.gid),
    modifiedSeconds: timeOf(numberIn(records, 'mtime') ?? header.mtime),
    sizeBytes: sparse?.sizeBytes ?? dataBytes,
    target: records.get('linkpath') ?? before.target ?? header.target,
    major: header.major,
    minor: header.minor,
    xattrs: xattrsIn(records),
    content: extentsOf(source, sparse?.segments ?? [{ offset: 0, bytes: dataBytes }], left),
  };
  yield entry;
  await source.pass(left.bytes);
  await source.pass(padding(dataBytes));
}

/** The map of a sparse file, in one of its four forms; null for other files. */
async function sparseMap(
  source: ByteSource,
  block: Buffer,
  header: RawHeader,
  records: PaxRecords,
  left: { bytes: number },
) {
  if (header.type === 'S') {
    const map = await gnuMap(block, () => source.read(BLOCK));
    return checked(map, left.bytes);
  }
  if (records.get('GNU.sparse.major') === '1' && records.get('GNU.sparse.minor') === '0') {
    const sizeBytes = numberIn(records, 'GNU.sparse.realsize') ?? -1;
    const map = await storedMap(() => source.read(BLOCK));
    left.bytes -= map.blocks * BLOCK;
    return checked({ sizeBytes, segments: map.segments }, left.bytes);
  }
  const map = paxMap(records);
  return map === null ? null : checked(map, left.bytes);
}

/** Parts must be in order, within the file, and have as many bytes as there are. */
function checked(map: { sizeBytes: number; segments: readonly Segment[] }, dataBytes: number) {
  let end = 0;
  let sum = 0;
  for (const { offset, bytes } of map.segments) {
    const isSound = Number.isSafeInteger(offset + bytes) && offset >= end && bytes >= 0;
    if (!isSound) throw new TarInvalid('has a sparse file whose parts overlap');
    end = offset + bytes;
    sum += bytes;
  }
  if (end > map.sizeBytes || sum !== dataBytes) {
    throw new TarInvalid('has a sparse file whose parts do not fit it');
  }
  return map;
}

async function* extentsOf(
  source: ByteSource,
  segments: readonly Segment[],
  left: { bytes: number },
): AsyncGenerator<Extent> {
  for (const { offset, bytes } of segments) {
    let at = offset;
    for await (const part of source.take(bytes)) {
      left.bytes -= part.length;
      yield { offset: at, bytes: part };
      at += part.length;
    }
  }
}

function xattrsIn(records: PaxRecords): ReadonlyMap<string, Buffer> {
  const prefix = 'SCHILY.xattr.';
  const found = new Map<string, Buffer>();
  for (const [key, value] of records) {
    if (!key.startsWith(prefix)) continue;
    found.set(key.slice(prefix.length), Buffer.from(value, 'latin1'));
  }
  return found;
}

function idIn(records: PaxRecords, key: string, fallback: number): number {
  const id = numberIn(records, key) ?? fallback;
  if (Number.isInteger(id) && id >= 0 && id < 2 ** 32 - 1) return id;
  throw new TarInvalid(`has an entry whose ${key} is not that of a user or group`);
}

/** What is no time is 1970, as in other programs that read images. */
function timeOf(seconds: number): number {
  return Math.abs(seconds) <= Number.MAX_SAFE_INTEGER ? seconds : 0;
}

function numberIn(records: PaxRecords, key: string): number | null {
  const text = records.get(key);
  if (text === undefined || text === '') return null;
  if (!/^-?\d{1,16}(\.\d*)?$/.test(text)) throw new TarInvalid(`has a ${key} that is not a number`);
  return Number(text);
}

function withoutNul(data: Buffer): string {
  return textAt(data, 0, data.length);
}

function padding(bytes: number): number {
  return (BLOCK - (bytes % BLOCK)) % BLOCK;
}
