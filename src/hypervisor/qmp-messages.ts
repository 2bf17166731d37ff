// hypervisor: lines of the QEMU Machine Protocol as messages. Pure. A hypervisor runs what a guest brings, so that
// it is not trusted: of a message only what has the type that it should have is taken.

/** A line that is longer is no QMP. */
const LINE_CHARACTERS_MAX = 256 * 1024;

export interface QmpMessage {
  readonly isGreeting: boolean;
  /** Of the command that it answers. */
  readonly id: number | undefined;
  /** What a command returns. */
  readonly result: unknown;
  /** Why the command was refused; undefined when it was not. */
  readonly refusal: string | undefined;
  /** The name of an event, and what comes with it. */
  readonly event: string | undefined;
  readonly reason: string | undefined;
  readonly isDiskFull: boolean;
}

/** Cuts what arrives into lines. */
export class QmpLines {
  #rest = '';

  /** The complete messages; null when what arrives is not the protocol. */
  push(text: string): readonly QmpMessage[] | null {
    this.#rest += text;
    const messages: (QmpMessage | null)[] = [];
    if (text.includes('\n')) {
      const lines = this.#rest.split('\n');
      this.#rest = lines.pop() ?? '';
      messages.push(...lines.map(parsed));
    }
    if (this.#rest.length > LINE_CHARACTERS_MAX) return null;
    const known = messages.filter((message) => message !== null);
    return known.length === messages.length ? known : null;
  }
}

/** null for what is no JSON object: whoever talks there is no hypervisor. */
function parsed(line: string): QmpMessage | null {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? messageOf(value) : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function messageOf({ QMP, id, return: result, error, event, data }: Members): QmpMessage {
  const details = isObject(data) ? data : {};
  return {
    isGreeting: isObject(QMP),
    id: typeof id === 'number' ? id : undefined,
    result,
    refusal: error === undefined ? undefined : refusalIn(error),
    event: textOf(event),
    reason: textOf(details['reason']),
    // For want of space QEMU pauses the guest (werror=enospc, its default) and keeps the write.
    isDiskFull: event === 'BLOCK_IO_ERROR' && details['nospace'] === true,
  };
}

function refusalIn(error: unknown): string {
  return (isObject(error) ? textOf(error['desc']) : undefined) ?? 'no reason given';
}

type Members = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
