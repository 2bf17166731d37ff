// jobs, images, tar: the maps of sparse files in tar archives, in the forms that GNU tar has had: its own header, and three
// with pax records (GNU tar manual, "Storing Sparse Files"). A map says where in the file the stored bytes belong.

import { LIMITS } from '../../../../config/limits.ts';
import { numberAt } from './tar-header.ts';
import { TarInvalid } from './tar-invalid.ts';
import type { PaxRecords } from './tar-pax.ts';

/** A part of a file that has data. */
export interface Segment {
  readonly offset: number;
  readonly bytes: number;
}

export interface SparseMap {
  readonly sizeBytes: number;
  readonly segments: readonly Segment[];
}

type ReadBlock = () => Promise<Buffer | null>;

const SEGMENT_BYTES = 24;

/** GNU tar's own form: four parts in the header, 21 in each further block. */
export async function gnuMap(header: Buffer, readBlock: ReadBlock): Promise<SparseMap> {
  const segments: Segment[] = [];
  takeSegments(header, 386, 4, segments);
  let isContinued = header[482] !== 0;
  while (isContinued) {
    const block = await readBlock();
    if (block === null) throw new TarInvalid('ends in the middle of a sparse file');
    takeSegments(block, 0, 21, segments);
    isContinued = block[504] !== 0;
  }
  return { sizeBytes: numberAt(header, 483, 12), segments };
}

function takeSegments(block: Buffer, at: number, count: number, segments: Segment[]): void {
  for (let index = 0; index < count; index += 1) {
    const start = at + index * SEGMENT_BYTES;
    if (block[start] === 0) return;
    add(segments, numberAt(block, start, 12), numberAt(block, start + 12, 12));
  }
}

/** Versions 0.0 and 0.1: the map is in pax records. null: there is none. */
export function paxMap(records: PaxRecords): SparseMap | null {
  const size = records.get('GNU.sparse.size');
  if (size === undefined) return null;
  const segments: Segment[] = [];
  const map = numbersIn(records.get('GNU.sparse.map'));
  const offsets = numbersIn(records.get('GNU.sparse.offset'));
  const lengths = numbersIn(records.get('GNU.sparse.numbytes'));
  for (let index = 0; index + 1 < map.length; index += 2) {
    add(segments, map[index] ?? Number.NaN, map[index + 1] ?? Number.NaN);
  }
  if (map.length === 0) {
    for (const [index, offset] of offsets.entries()) {
      add(segments, offset, lengths[index] ?? Number.NaN);
    }
  }
  return { sizeBytes: numbersIn(size)[0] ?? Number.NaN, segments };
}

/** Version 1.0: the map is text in front of the data, a number in each line, padded to whole blocks. */
export async function storedMap(
  readBlock: ReadBlock,
): Promise<{ readonly segments: readonly Segment[]; readonly blocks: number }> {
  const numbers: number[] = [];
  let text = '';
  let blocks = 0;
  const isComplete = () => numbers[0] !== undefined && numbers.length > numbers[0] * 2;
  while (!isComplete()) {
    const block = await readBlock();
    if (block === null) throw new TarInvalid('ends in the middle of a sparse file');
    blocks += 1;
    text += block.toString('latin1');
    for (let end = text.indexOf('\n'); end >= 0 && !isComplete(); end = text.indexOf('\n')) {
      numbers.push(numberOf(text.slice(0, end)));
      text = text.slice(end + 1);
    }
    if (text.length > 2 * block.length) throw new TarInvalid('has a damaged map of a sparse file');
    if ((numbers[0] ?? 0) > LIMITS.imageSegmentsMax) throw tooMany();
  }
  const segments: Segment[] = [];
  for (let index = 1; index + 1 < numbers.length; index += 2) {
    add(segments, numbers[index] ?? Number.NaN, numbers[index + 1] ?? Number.NaN);
  }
  return { segments, blocks };
}

function add(segments: Segment[], offset: number, bytes: number): void {
  if (segments.length >= LIMITS.imageSegmentsMax) throw tooMany();
  segments.push({ offset, bytes });
}

function numbersIn(text: string | undefined): number[] {
  return text === undefined || text === '' ? [] : text.split(',').map(numberOf);
}

function numberOf(text: string): number {
  if (/^\d{1,16}$/.test(text)) return Number(text);
  throw new TarInvalid('has a damaged map of a sparse file');
}

function tooMany(): TarInvalid {
  return new TarInvalid(`has a sparse file of more than ${LIMITS.imageSegmentsMax} parts`);
}
