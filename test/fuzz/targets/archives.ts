// fuzz: archives that are read here: those of container images, and those that `volar cp` gets of a guest. Each input is read
// as it is and with right sums of its headers, because few changed ones would have them.

import { encodeHeader, TarProblem } from '../../../src/cli/copy/tar-format.ts';
import { readTar as readCopy } from '../../../src/cli/copy/tar-reader.ts';
import { Truncated } from '../../../src/host/jobs/images/tar/byte-source.ts';
import { TarInvalid } from '../../../src/host/jobs/images/tar/tar-invalid.ts';
import { readTar as readImage } from '../../../src/host/jobs/images/tar/tar-reader.ts';
import { type FuzzTarget, hold, piecesOf } from '../target.ts';

const BLOCK = 512;
const SUM_AT = 148;
const BYTES_MAX = 8192;

const TOKENS = [
  'ustar\x0000',
  'ustar  \0',
  '0000644\0',
  '00000000000\0',
  '00000001000\0',
  '\x80\0\0\0\0\0\0\0\0\0\x02\0',
  '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\0',
  '11 path=ab\n',
  '12 size=512\n',
  '14 mtime=1.5\n',
  '12 path=../\n',
  '26 SCHILY.xattr.user.a=b\n',
  '21 GNU.sparse.size=9\n',
  '22 GNU.sparse.map=0,9\n',
  '22 GNU.sparse.major=1\n',
  '22 GNU.sparse.minor=0\n',
  '1\n0\n512\n',
];

/** The same blocks, each with the sum that it had as a header. */
function withSums(input: Buffer): Buffer {
  const made = Buffer.from(input);
  for (let at = 0; at + BLOCK <= made.length; at += BLOCK) {
    const block = made.subarray(at, at + BLOCK);
    if (block.every((byte) => byte === 0)) continue;
    block.fill(0x20, SUM_AT, SUM_AT + 8);
    const sum = block.reduce((all, byte) => all + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0`, SUM_AT, 'latin1');
  }
  return made;
}

async function* streamOf(pieces: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* pieces;
}

interface Told {
  readonly entries: readonly object[];
  /** What was read of their content; null if it was left. */
  readonly bytes: readonly number[] | null;
  readonly failure: string | null;
}

/** What a reader says of an archive in these pieces. */
async function told<E extends object>(
  entries: AsyncIterable<E>,
  factsOf: (entry: E) => object,
  lengthOf: ((entry: E) => Promise<number>) | null,
  isAllowed: (error: unknown) => error is Error,
): Promise<Told> {
  const facts: object[] = [];
  const bytes: number[] = [];
  const done = (failure: string | null) => ({
    entries: facts,
    bytes: lengthOf === null ? null : bytes,
    failure,
  });
  try {
    for await (const entry of entries) {
      facts.push(factsOf(entry));
      if (lengthOf !== null) bytes.push(await lengthOf(entry));
    }
    return done(null);
  } catch (error) {
    if (isAllowed(error)) return done(error.message);
    throw error;
  }
}

/** Whatever the pieces are, and whether content is read or left, an archive says the same. */
async function same(
  read: (pieces: readonly Buffer[], reads: boolean) => Promise<Told>,
  input: Buffer,
) {
  const whole = await read([input], true);
  const cut = await read(piecesOf(input, input.length), true);
  const left = await read([input], false);
  hold(JSON.stringify(whole) === JSON.stringify(cut), 'the pieces of a stream change nothing');
  const isSame = JSON.stringify(whole.entries) === JSON.stringify(left.entries);
  // Content that is cut is noticed when it is read, or when it is skipped.
  hold(
    isSame && (whole.failure === null) === (left.failure === null),
    'content that is left is skipped',
  );
  return whole;
}

const isProblem = (error: unknown): error is Error => error instanceof TarProblem;

function copied(pieces: readonly Buffer[], reads: boolean): Promise<Told> {
  const lengthOf = async (entry: { size: number; content(): AsyncGenerator<Buffer> }) => {
    let length = 0;
    for await (const piece of entry.content()) length += piece.length;
    hold(length === entry.size, 'content has the size that was told');
    return length;
  };
  const factsOf = ({ content: _, ...facts }: { content: unknown; type: string; size: number }) => {
    hold(Number.isSafeInteger(facts.size) && facts.size >= 0, 'a size is a whole number');
    hold(facts.type === 'file' || facts.size === 0, 'only files have content');
    return facts;
  };
  return told(readCopy(streamOf(pieces)), factsOf, reads ? lengthOf : null, isProblem);
}

/** An entry that is written says the same when it is read. */
async function checkAgain(facts: object): Promise<void> {
  const entry = facts as Parameters<typeof encodeHeader>[0];
  const isPlain = !/[\0\ufffd]/.test(entry.path + entry.target) && !/\/$/.test(entry.path);
  if (!['file', 'directory', 'link', 'hard link'].includes(entry.type) || !isPlain) return;
  const file = { ...entry, mtimeMs: 1500, size: 0 };
  const end = Buffer.alloc(2 * BLOCK);
  const again = await copied([encodeHeader(file), end], true);
  const path = entry.type === 'directory' ? `${entry.path}/` : entry.path;
  hold(
    JSON.stringify(again.entries) === JSON.stringify([{ ...file, path }]),
    'what is written is read again',
  );
}

const tarCopies: FuzzTarget = {
  name: 'tar-copies',
  bytesMax: BYTES_MAX,
  tokens: TOKENS,
  async run(input) {
    for (const archive of [input, withSums(input)]) {
      const { entries } = await same(copied, archive);
      for (const facts of entries) await checkAgain(facts);
    }
  },
};

const isInvalid = (error: unknown): error is Error =>
  error instanceof TarInvalid || error instanceof Truncated;

type ImageEntry = Awaited<ReturnType<ReturnType<typeof readImage>['next']>>['value'];

function imaged(pieces: readonly Buffer[], reads: boolean): Promise<Told> {
  const lengthOf = async ({ content, sizeBytes }: ImageEntry) => {
    let end = 0;
    for await (const { offset, bytes } of content) {
      hold(offset >= end && bytes.length > 0, 'parts of a file are in their order');
      end = offset + bytes.length;
      hold(end <= sizeBytes, 'a file is no longer than it is');
    }
    return end;
  };
  const factsOf = ({ content: _, xattrs, ...facts }: ImageEntry) => {
    const { mode, uid, gid, modifiedSeconds, sizeBytes } = facts;
    hold(
      [mode, uid, gid, sizeBytes].every((number) => Number.isSafeInteger(number) && number >= 0),
      'numbers are whole',
    );
    hold(Math.abs(modifiedSeconds) <= Number.MAX_SAFE_INTEGER, 'a time is a number');
    return { ...facts, xattrs: [...xattrs].map(([name, value]) => [name, value.toString('hex')]) };
  };
  return told(readImage(streamOf(pieces)), factsOf, reads ? lengthOf : null, isInvalid);
}

const tarImages: FuzzTarget = {
  name: 'tar-images',
  bytesMax: BYTES_MAX,
  tokens: TOKENS,
  async run(input) {
    for (const archive of [input, withSums(input)]) await same(imaged, archive);
  },
};

export const archiveTargets = [tarCopies, tarImages];
