// hypervisor: parses lines of the QEMU Machine Protocol. Pure. A hypervisor runs guest code and is not trusted:
// members with a wrong type are ignored.

/** Maximum length of a line. */
const LINE_CHARACTERS_MAX = 256 * 1024;

export interface QmpMessage {
  readonly isGreeting: boolean;
  /** The id of the command that it answers. */
  readonly id: number | undefined;
  /** What a command returns. */
  readonly result: unknown;
  /** Why the command failed; undefined when it succeeded. */
  readonly refusal: string | undefined;
  /** The name of an event. */
  readonly event: string | undefined;
  readonly reason: string | undefined;
  readonly isDiskFull: boolean;
}

/** Splits incoming text into lines. */
export class QmpLines {
  #rest = '';

  /** Returns the messages that are complete; null when the text is not this protocol. */
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

/** Returns null for a line that is not a JSON object: the peer is not a hypervisor. */
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
    // When the disk is full, QEMU pauses the guest (werror=enospc, its default) and keeps the write.
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
