// cli, copy: entries of an archive in the formats ustar and pax (POSIX.1-2001), as bytes. Pure.

export const BLOCK_BYTES = 512;
export const RECORDS_BYTES_MAX = 256 * 1024;

export type EntryType = 'file' | 'directory' | 'link' | 'hard link' | 'other';

export interface Entry {
  readonly path: string;
  readonly type: EntryType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeMs: number;
  /** Of a link. */
  readonly target: string;
}

/** What a header says, and what an extended header says about the entry after it. */
export type Header = Entry & { readonly flag: string };

/** The archive cannot be read. */
export class TarProblem extends Error {
  override readonly name = 'TarProblem';
}

const FLAGS: Readonly<Record<Exclude<EntryType, 'other'>, string>> = {
  file: '0',
  'hard link': '1',
  link: '2',
  directory: '5',
};

const TYPES: Readonly<Record<string, EntryType>> = {
  '\0': 'file',
  ...Object.fromEntries(Object.entries(FLAGS).map(([type, flag]) => [flag, type as EntryType])),
};

/** The header of an entry, with an extended header before it where one is needed. */
export function encodeHeader(entry: Entry & { readonly type: keyof typeof FLAGS }): Buffer {
  const path = Buffer.from(entry.type === 'directory' ? `${entry.path}/` : entry.path);
  const target = Buffer.from(entry.target);
  const seconds = Math.floor(entry.mtimeMs / 1000);
  const records = [
    ...(path.length > 100 ? [record('path', path)] : []),
    ...(target.length > 100 ? [record('linkpath', target)] : []),
    ...(entry.size >= 8 ** 11 ? [record('size', Buffer.from(String(entry.size)))] : []),
    ...(entry.uid >= 8 ** 7 ? [record('uid', Buffer.from(String(entry.uid)))] : []),
    ...(entry.gid >= 8 ** 7 ? [record('gid', Buffer.from(String(entry.gid)))] : []),
    ...(seconds * 1000 === entry.mtimeMs && seconds >= 0
      ? []
      : [record('mtime', Buffer.from((entry.mtimeMs / 1000).toFixed(6)))]),
  ];
  const header = block(FLAGS[entry.type], path, target, { ...entry, mtimeMs: seconds * 1000 });
  if (records.length === 0) return header;
  const extended = Buffer.concat(records);
  const facts = { mode: 0o644, uid: 0, gid: 0, size: extended.length, mtimeMs: 0 };
  const before = block('x', Buffer.from('pax/header'), Buffer.alloc(0), facts);
  return Buffer.concat([before, extended, padding(extended.length), header]);
}

/** Zeros up to the next block. */
export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
}

export const ARCHIVE_END = Buffer.alloc(2 * BLOCK_BYTES);

type Numbers = Pick<Entry, 'mode' | 'uid' | 'gid' | 'size' | 'mtimeMs'>;

function block(flag: string, path: Buffer, target: Buffer, numbers: Numbers): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES);
  path.copy(header, 0, 0, 100);
  target.copy(header, 157, 0, 100);
  octal(header, 100, 8, numbers.mode & 0o7777);
  octal(header, 108, 8, numbers.uid);
  octal(header, 116, 8, numbers.gid);
  octal(header, 124, 12, numbers.size);
  octal(header, 136, 12, Math.max(0, numbers.mtimeMs / 1000));
  header.write(flag, 156, 'latin1');
  header.write('ustar\0' + '00', 257, 'latin1');
  header.write(`${sumOf(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/** A number that does not fit is in a record; the field has zeros then. */
function octal(header: Buffer, at: number, size: number, value: number): void {
  const text = value < 8 ** (size - 1) ? value.toString(8) : '0';
  header.write(`${text.padStart(size - 1, '0')}\0`, at, 'latin1');
}

/** The field of the sum counts as blanks. */
function sumOf(header: Buffer): number {
  let sum = 8 * 0x20;
  for (const [index, byte] of header.entries()) if (index < 148 || index >= 156) sum += byte;
  return sum;
}

/** "LENGTH NAME=VALUE\n"; the length counts itself. */
function record(name: string, value: Buffer): Buffer {
  const rest = ` ${name}=`.length + value.length + 1;
  let length = rest + 1;
  while (String(length).length + rest > length) length += 1;
  return Buffer.concat([Buffer.from(`${length} ${name}=`), value, Buffer.from('\n')]);
}

/** null for a block of zeros, which ends an archive. Throws TarProblem. */
export function decodeHeader(header: Buffer): Header | null {
  if (header.every((byte) => byte === 0)) return null;
  const sum = Number.parseInt(textAt(header, 148, 8), 8);
  if (sum !== sumOf(header)) throw new TarProblem('a header has a wrong sum');
  const flag = String.fromCharCode(header[156] ?? 0);
  const prefix = header.toString('latin1', 257, 263) === 'ustar\0' ? textAt(header, 345, 155) : '';
  const name = textAt(header, 0, 100);
  return {
    flag,
    type: TYPES[flag] ?? 'other',
    path: prefix === '' ? name : `${prefix}/${name}`,
    target: textAt(header, 157, 100),
    mode: numberAt(header, 100, 8) & 0o7777,
    uid: numberAt(header, 108, 8),
    gid: numberAt(header, 116, 8),
    size: numberAt(header, 124, 12),
    mtimeMs: numberAt(header, 136, 12) * 1000,
  };
}

/** The entry as the records of its extended header say. Throws TarProblem. */
export function withRecords(header: Header, records: Buffer): Header {
  let entry = header;
  for (let at = 0; at < records.length; ) {
    const blank = records.indexOf(0x20, at);
    const digits = records.toString('latin1', at, Math.max(blank, at));
    const length = /^\d{1,9}$/.test(digits) ? Number(digits) : Number.NaN;
    const end = at + length;
    if (blank < 0 || !Number.isSafeInteger(length) || end > records.length || end <= blank + 2) {
      throw new TarProblem('an extended header is malformed');
    }
    const equals = records.indexOf(0x3d, blank);
    if (equals < 0 || equals >= end || records[end - 1] !== 0x0a) {
      throw new TarProblem('an extended header is malformed');
    }
    const name = records.toString('utf8', blank + 1, equals);
    entry = withRecord(entry, name, records.toString('utf8', equals + 1, end - 1));
    at = end;
  }
  return entry;
}

function withRecord(entry: Header, name: string, value: string): Header {
  if (name === 'path') return { ...entry, path: value };
  if (name === 'linkpath') return { ...entry, target: value };
  if (name === 'mtime') {
    const seconds = /^-?\d+(\.\d*)?$/.test(value) ? Number(value) : Number.NaN;
    return { ...entry, mtimeMs: whole(seconds * 1000, value) };
  }
  if (name === 'size' || name === 'uid' || name === 'gid') {
    return { ...entry, [name]: whole(/^\d+$/.test(value) ? Number(value) : Number.NaN, value) };
  }
  return entry;
}

function whole(value: number, text: string): number {
  if (Math.abs(value) <= Number.MAX_SAFE_INTEGER) return value;
  throw new TarProblem(`${text} is no number of an archive`);
}

function textAt(header: Buffer, at: number, size: number): string {
  const field = header.subarray(at, at + size);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? size : end);
}

function numberAt(header: Buffer, at: number, size: number): number {
  const text = textAt(header, at, size).trim();
  if (text === '') return 0;
  if (!/^[0-7]+$/.test(text)) throw new TarProblem('a header has a number that is not octal');
  return Number.parseInt(text, 8);
}
