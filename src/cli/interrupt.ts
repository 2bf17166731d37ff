// cli: Ctrl-C: what an interrupted command leaves behind, and the message about it. Every command then ends with the status
// that shells use for SIGINT. exit.ts prints the message.

import { EXIT, type Failure } from './exit.ts';
import type { Streams } from './terminal/streams.ts';

/** What a command leaves behind if it is interrupted now. */
export interface Leaves {
  /** The command that shows the progress of the operation; absent if the daemon continues nothing. */
  readonly ask?: string;
  /** Removes files that are incomplete and useless. It must not wait. */
  readonly clean?: () => void;
  /** Called instead of ending volar. false: volar ends. */
  readonly instead?: () => boolean;
}

export class Interrupts {
  readonly #streams: Streams;
  #leaves: Leaves | undefined;
  #notBegun: readonly string[] = [];

  /** `print` prints a failure. */
  constructor(streams: Streams, print: (failure: Failure) => void) {
    this.#streams = streams;
    const onInterrupt = () => {
      if (this.#leaves?.instead?.() === true) {
        streams.once?.('SIGINT', onInterrupt);
        return;
      }
      this.#leaves?.clean?.();
      const failure = this.#failure();
      if (failure !== null) print(failure);
      streams.exit?.(EXIT.interrupted);
    };
    streams.once?.('SIGINT', onInterrupt);
  }

  /** Names of steps that the command has not begun. */
  set notBegun(names: readonly string[]) {
    this.#notBegun = names;
  }

  /** Waits for work that leaves this behind if it is interrupted. */
  async during<T>(leaves: Leaves, work: Promise<T>): Promise<T> {
    const before = this.#leaves;
    this.#leaves = leaves;
    try {
      return await work;
    } finally {
      this.#leaves = before;
    }
  }

  /** null: nothing is left that the user needs to know. */
  #failure(): Failure | null {
    const ask = this.#leaves?.ask;
    if (ask === undefined && this.#notBegun.length === 0) return null;
    const goesOn =
      ask === undefined ? '' : '; what the daemon has begun continues in the background';
    const rest = this.#notBegun.length === 0 ? '' : `; not begun: ${this.#notBegun.join(', ')}`;
    // On a terminal, the current line still has the progress.
    if (this.#streams.stderr.isTTY) this.#streams.stderr.write('\n');
    return {
      exit: EXIT.interrupted,
      code: 'INTERRUPTED',
      message: `Interrupted${goesOn}${rest}`,
      details: {},
      ...(ask === undefined ? {} : { remedy: `\`${ask}\` shows its progress.` }),
    };
  }
}
