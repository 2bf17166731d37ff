// cli, terminal: a whole screen that is drawn repeatedly, and the keys that are pressed meanwhile. What was on the
// terminal before is there again afterwards.

import type { Streams } from './streams.ts';

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const ERASE_REST_OF_LINE = '\x1b[K';
const ERASE_BELOW = '\x1b[J';

/** In raw mode Ctrl-C is a character. */
export const CTRL_C = '\x03';

/** The height of a terminal that does not report it. */
const ROWS_GUESS = 24;

export class Screen {
  readonly #streams: Streams;
  readonly #onKey: (key: string) => void;
  #isOpen = false;
  readonly #onData = (chunk: Buffer): void => {
    for (const key of chunk.toString('latin1')) this.#onKey(key);
  };

  constructor(streams: Streams, onKey: (key: string) => void) {
    this.#streams = streams;
    this.#onKey = onKey;
  }

  open(): void {
    const { stdin, stdout } = this.#streams;
    this.#isOpen = true;
    stdin.setRawMode?.(true);
    stdin.on('data', this.#onData);
    stdout.write(ENTER);
  }

  /** Draws these lines, as far as they fit. */
  draw(lines: readonly string[]): void {
    if (!this.#isOpen) return;
    const { rows = ROWS_GUESS, columns = Number.POSITIVE_INFINITY } = this.#streams.stdout;
    const shown = lines.slice(0, rows).map((line) => line.slice(0, columns) + ERASE_REST_OF_LINE);
    this.#streams.stdout.write(`${HOME}${shown.join('\r\n')}${ERASE_BELOW}`);
  }

  /** Does nothing if it is closed. */
  close(): void {
    if (!this.#isOpen) return;
    const { stdin, stdout } = this.#streams;
    this.#isOpen = false;
    stdout.write(LEAVE);
    stdin.off('data', this.#onData);
    stdin.setRawMode?.(false);
    // Otherwise standard input would keep the process alive.
    stdin.destroy();
  }
}
