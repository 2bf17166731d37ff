// engine, vm-list: which VMs have a text in their name or address. Every piece of up to three characters has a list of
// VMs. A longer text is searched for among the VMs of its rarest piece.

import { IdList } from './id-list.ts';

const PIECE_MAX = 3;
/** All characters beyond ASCII, which are rare, count as this one. */
const OTHER = 127;
const BITS = 7;

/** VMs that may have a text. `isExact`: every one of them has it. */
export interface Candidates {
  readonly ids: IdList;
  readonly isExact: boolean;
}

const NO_IDS = new IdList();

export class TextIndex {
  /** By the characters of a piece as one number. */
  readonly #lists = new Map<number, IdList>();

  /** `texts` and searched texts are in lower case. */
  add(id: number, texts: readonly string[]): void {
    for (const text of texts) {
      for (let at = 0; at < text.length; at += 1) {
        let piece = 0;
        for (let end = at; end < at + PIECE_MAX && end < text.length; end += 1) {
          piece = withCharacter(piece, text, end);
          this.#listOf(piece).add(id);
        }
      }
    }
  }

  /** Removes a VM; `texts` must be those that it was added with. */
  remove(id: number, texts: readonly string[]): void {
    for (const text of texts) {
      for (let at = 0; at < text.length; at += 1) {
        let piece = 0;
        for (let end = at; end < at + PIECE_MAX && end < text.length; end += 1) {
          piece = withCharacter(piece, text, end);
          const list = this.#lists.get(piece);
          list?.remove(id);
          if (list?.size === 0) this.#lists.delete(piece);
        }
      }
    }
  }

  /** The candidates for a text, which must not be empty. */
  candidates(text: string): Candidates {
    const length = Math.min(PIECE_MAX, text.length);
    let rarest: IdList | undefined;
    let hasOther = false;
    for (let at = 0; at + length <= text.length; at += 1) {
      let piece = 0;
      for (let end = at; end < at + length; end += 1) {
        piece = withCharacter(piece, text, end);
        hasOther ||= codeAt(text, end) === OTHER;
      }
      const list = this.#lists.get(piece);
      if (list === undefined) return { ids: NO_IDS, isExact: true };
      if (rarest === undefined || list.size < rarest.size) rarest = list;
    }
    return { ids: rarest ?? NO_IDS, isExact: text.length <= PIECE_MAX && !hasOther };
  }

  #listOf(piece: number): IdList {
    const known = this.#lists.get(piece);
    if (known !== undefined) return known;
    const list = new IdList();
    this.#lists.set(piece, list);
    return list;
  }
}

/** No character has the code 0, so pieces of different lengths are different numbers. */
function withCharacter(piece: number, text: string, at: number): number {
  return (piece << BITS) | codeAt(text, at);
}

function codeAt(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code === 0 || code > OTHER ? OTHER : code;
}
