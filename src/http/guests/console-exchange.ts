// http, guests: reads a guest's console, or types one line and reads the output, as one bounded answer for clients that
// hold no stream open. The engine's console reader treats it like any other viewer.

import type { ConsoleApi, ConsoleSession } from '../../engine/engine-api.ts';
import { VolantError } from '../../lib/errors.ts';

export interface ConsoleQuestion {
  /** The text to type; null only reads what was printed last. */
  readonly input: string | null;
  /** The answer is complete when this text follows the echo of the input; null: when the guest is silent. */
  readonly until: string | null;
  /** Without `until`, the answer is complete after this much silence. */
  readonly quietMs: number;
  readonly timeoutMs: number;
  /** Maximum size of the output; the newest bytes are kept. */
  readonly bytesMax: number;
  /** When it aborts, the output so far is the answer. */
  readonly signal: AbortSignal;
}

export interface ConsoleAnswer {
  readonly output: string;
  /** true: older output was left out. */
  readonly isCut: boolean;
  /** true: the text of `until` was printed. */
  readonly isFound: boolean;
  /** true: the guest ended before the answer was complete. */
  readonly hasEnded: boolean;
}

/**
 * Detaches from the console in any case. Rejects as ConsoleApi.attach does, with OVERLOADED if the guest does not read its
 * input, and with HOST_OPERATION_FAILED if the console cannot be reached.
 */
export function askConsole(
  consoles: ConsoleApi,
  vmName: string,
  question: ConsoleQuestion,
): Promise<ConsoleAnswer> {
  return new Promise((resolve, reject) => {
    const exchange = new ConsoleExchange(question, (error) => {
      if (error === null) resolve(exchange.answer());
      else reject(error);
    });
    exchange.begin((viewer) => consoles.attach(vmName, viewer));
  });
}

type Viewer = Parameters<ConsoleApi['attach']>[1];

class ConsoleExchange {
  readonly #question: ConsoleQuestion;
  readonly #onOver: (error: VolantError | null) => void;
  #session: ConsoleSession | null = null;
  #output = Buffer.alloc(0);
  #isCut = false;
  #isTyped = false;
  #hasEnded = false;
  #isOver = false;
  #quiet: NodeJS.Timeout | undefined;
  readonly #deadline: NodeJS.Timeout;
  readonly #give = () => this.#end(null);

  constructor(question: ConsoleQuestion, onOver: (error: VolantError | null) => void) {
    this.#question = question;
    this.#onOver = onOver;
    this.#deadline = setTimeout(this.#give, question.timeoutMs);
  }

  begin(attach: (viewer: Viewer) => ConsoleSession): void {
    const { signal } = this.#question;
    try {
      this.#session = attach({
        onOutput: (bytes) => this.#take(bytes),
        onCaughtUp: () => this.#type(),
        onEnd: (reason) => this.#ended(reason),
      });
    } catch (error) {
      clearTimeout(this.#deadline);
      throw error;
    }
    signal.addEventListener('abort', this.#give);
    if (signal.aborted) this.#give();
  }

  answer(): ConsoleAnswer {
    return {
      output: this.#output.toString(),
      isCut: this.#isCut,
      isFound: this.#isFound(),
      hasEnded: this.#hasEnded,
    };
  }

  #take(bytes: Uint8Array): void {
    if (this.#isOver) return;
    const { bytesMax, quietMs, until } = this.#question;
    const all = Buffer.concat([this.#output, bytes]);
    this.#isCut ||= all.length > bytesMax;
    this.#output = all.subarray(Math.max(0, all.length - bytesMax));
    if (!this.#isTyped) return;
    if (this.#isFound()) this.#end(null);
    else if (until === null) {
      clearTimeout(this.#quiet);
      this.#quiet = setTimeout(this.#give, quietMs);
    }
  }

  #type(): void {
    const { input } = this.#question;
    if (input === null || this.#isOver) {
      this.#end(null);
      return;
    }
    // Output from before the input is not part of the answer.
    this.#output = Buffer.alloc(0);
    this.#isCut = false;
    this.#isTyped = true;
    if (this.#session?.write(Buffer.from(input)) === true) return;
    const why = 'The guest does not read its console';
    this.#end(new VolantError('OVERLOADED', why, { retryAfterSeconds: 5 }));
  }

  #isFound(): boolean {
    const { input, until } = this.#question;
    if (until === null || !this.#isTyped) return false;
    const text = this.#output.toString();
    const echoed = input?.trimEnd() ?? '';
    const echo = text.indexOf(echoed);
    return text.includes(until, echo < 0 ? 0 : echo + echoed.length);
  }

  #ended(reason: 'ended' | 'failed'): void {
    this.#hasEnded = true;
    const isFailed = reason === 'failed';
    const why = 'The console of the VM could not be reached';
    this.#end(isFailed ? new VolantError('HOST_OPERATION_FAILED', why) : null);
  }

  #end(error: VolantError | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#quiet);
    clearTimeout(this.#deadline);
    this.#question.signal.removeEventListener('abort', this.#give);
    this.#session?.leave();
    this.#onOver(error);
  }
}
