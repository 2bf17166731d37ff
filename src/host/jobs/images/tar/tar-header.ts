// jobs, images, tar: the 512 bytes before each entry of a tar archive (POSIX.1-1988 ustar, and GNU tar's form of it). Pure.

/** The members of a header as they stand there. */
export interface RawHeader {
  readonly type: string;
  readonly path: string;
  readonly target: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly major: number;
  readonly minor: number;
}

const CHECKSUM_AT = 148;
const CHECKSUM_BYTES = 8;

/** Whether the sum of the header's bytes is the one that it names. Old programs counted bytes as signed. */
export function checksumIsRight(block: Buffer): boolean {
  let unsigned = 0;
  let signed = 0;
  for (const [at, byte] of block.entries()) {
    const isOwn = at >= CHECKSUM_AT && at < CHECKSUM_AT + CHECKSUM_BYTES;
    const counted = isOwn ? 0x20 : byte;
    unsigned += counted;
    signed += counted < 0x80 ? counted : counted - 0x100;
  }
  const named = numberAt(block, CHECKSUM_AT, CHECKSUM_BYTES);
  return named === unsigned || named === signed;
}

/** Takes a header apart. Its checksum must have been compared. */
export function rawHeader(block: Buffer): RawHeader {
  const name = textAt(block, 0, 100);
  // GNU tar uses the place of the prefix for other things.
  const isPosix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isPosix ? textAt(block, 345, 155) : '';
  return {
    type: block.toString('latin1', 156, 157),
    path: prefix === '' ? name : `${prefix}/${name}`,
    target: textAt(block, 157, 100),
    mode: numberAt(block, 100, 8),
    uid: numberAt(block, 108, 8),
    gid: numberAt(block, 116, 8),
    size: numberAt(block, 124, 12),
    mtime: numberAt(block, 136, 12),
    major: numberAt(block, 329, 8),
    minor: numberAt(block, 337, 8),
  };
}

/** A text that ends at a NUL or with its place. */
export function textAt(block: Buffer, at: number, bytes: number): string {
  const text = block.toString('latin1', at, at + bytes);
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

/** An octal number, or a binary one that begins with the bit 0x80. NaN for anything else. */
export function numberAt(block: Buffer, at: number, bytes: number): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) !== 0) return binaryAt(block, at, bytes);
  const text = textAt(block, at, bytes).trim();
  if (text === '') return 0;
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
}

/** Two's complement, most significant byte first, without the first bit. */
function binaryAt(block: Buffer, at: number, bytes: number): number {
  const isNegative = block[at] === 0xff;
  let value = 0n;
  for (let index = 0; index < bytes; index += 1) {
    const byte = block[at + index] ?? 0;
    value = (value << 8n) | BigInt(index === 0 && !isNegative ? byte & 0x7f : byte);
  }
  return Number(isNegative ? value - (1n << BigInt(bytes * 8)) : value);
}
