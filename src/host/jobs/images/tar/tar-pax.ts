// jobs, images, tar: the records of a pax header: "length key=value\n", the length counting itself (POSIX.1-2001, pax). Pure.

import { TarInvalid } from './tar-invalid.ts';

/** Keys and values, one character for each byte. Repeated keys of sparse files are joined with commas, in their order. */
export type PaxRecords = Map<string, string>;

/** These keys are repeated in the oldest form of sparse files; each pair is one part of the file. */
const REPEATED = ['GNU.sparse.offset', 'GNU.sparse.numbytes'];

/** The records of a header. Throws TarInvalid. */
export function parsePax(data: Buffer): PaxRecords {
  const text = data.toString('latin1');
  const records: PaxRecords = new Map();
  let at = 0;
  while (at < text.length) {
    const blank = text.indexOf(' ', at);
    const digits = blank < 0 ? '' : text.slice(at, blank);
    const length = /^\d{1,9}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    const equals = text.indexOf('=', blank);
    const isWhole = length > 0 && end <= text.length && text[end - 1] === '\n';
    if (!isWhole || equals < 0 || equals >= end) throw new TarInvalid('has a damaged pax header');
    const key = text.slice(blank + 1, equals);
    const value = text.slice(equals + 1, end - 1);
    const earlier = REPEATED.includes(key) ? records.get(key) : undefined;
    records.set(key, earlier === undefined ? value : `${earlier},${value}`);
    at = end;
  }
  return records;
}
