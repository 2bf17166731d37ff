// cli, copy: a local file or tree as an archive, written while it is read. Files are read synchronously, as local-writer.ts
// writes them.

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  opendirSync,
  openSync,
  readlinkSync,
  readSync,
  type Stats,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { ARCHIVE_END, encodeHeader, padding } from './tar-format.ts';

const PIECE_BYTES = 64 * 1024;

/** Counted while a copy runs. */
export interface Tally {
  entries: number;
  bytes: number;
  /** Neither file, directory nor link. */
  skipped: number;
}

/** The archive of `path`, whose first entry is `as`. A link at its end is followed if asked; links below are kept. */
export function* packLocal(
  path: string,
  as: string,
  follows: boolean,
  tally: Tally,
): Generator<Buffer> {
  yield* gathered(pack(path, as, follows ? statSync(path) : lstatSync(path), tally));
}

/** Joins pieces of a few hundred bytes, as small files have them, to pieces that are worth a write to the network. */
function* gathered(pieces: Generator<Buffer>): Generator<Buffer> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  for (const piece of pieces) {
    waiting.push(piece);
    bytes += piece.length;
    if (bytes < PIECE_BYTES) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    bytes = 0;
  }
  yield Buffer.concat([...waiting, ARCHIVE_END]);
}

function* pack(path: string, name: string, facts: Stats, tally: Tally): Generator<Buffer> {
  const { uid, gid, mtimeMs } = facts;
  const common = { path: name, mode: facts.mode, uid, gid, mtimeMs, target: '' };
  if (facts.isFile()) {
    yield* packFile(path, common, tally);
    return;
  }
  if (facts.isSymbolicLink()) {
    yield encodeHeader({ ...common, type: 'link', size: 0, target: readlinkSync(path) });
    tally.entries += 1;
    return;
  }
  if (!facts.isDirectory()) {
    tally.skipped += 1;
    return;
  }
  yield encodeHeader({ ...common, type: 'directory', size: 0 });
  tally.entries += 1;
  const directory = opendirSync(path);
  try {
    for (let below = directory.readSync(); below !== null; below = directory.readSync()) {
      const inner = join(path, below.name);
      yield* pack(inner, `${name}/${below.name}`, lstatSync(inner), tally);
    }
  } finally {
    directory.closeSync();
  }
}

type Common = Omit<Parameters<typeof encodeHeader>[0], 'type' | 'size'>;

function* packFile(path: string, common: Common, tally: Tally): Generator<Buffer> {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const { size } = fstatSync(file);
    yield encodeHeader({ ...common, type: 'file', size });
    tally.entries += 1;
    for (let at = 0; at < size; ) {
      const buffer = Buffer.allocUnsafe(Math.min(PIECE_BYTES, size - at));
      const bytesRead = readSync(file, buffer, 0, buffer.length, at);
      // The header has the length from before.
      if (bytesRead === 0) throw new Error(`${path} became shorter while it was read`);
      at += bytesRead;
      tally.bytes += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    yield padding(size);
  } finally {
    closeSync(file);
  }
}

/** What a path is; a link counts as a file unless it is followed. `absent` if there is nothing. */
export function kindOf(path: string, follows: boolean): 'file' | 'directory' | 'absent' {
  try {
    const facts = follows ? statSync(path) : lstatSync(path);
    return facts.isDirectory() ? 'directory' : 'file';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'absent';
    throw error;
  }
}
