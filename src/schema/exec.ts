// schema: a program that is run in a guest (an exec), and the requests about it. Nouns only: the engine defines what operations
// do.

import { constants } from 'node:os';
import { type Static, Type } from 'typebox';
import { LIMITS } from '../config/limits.ts';
import { Int64, MapOf, Nullable, OneOf, Text, Timestamp, Warnings } from './parts.ts';

export const EXEC_STATES = ['running', 'exited', 'lost'] as const;

/** Ids are made by the daemon. */
export const EXEC_ID_PATTERN = '^[a-z0-9]{1,32}$';

/** Numbers of signals by name, without the names that Linux has twice. */
const SIGNALS: Readonly<Record<string, number>> = constants.signals;

/** Linux has signals 1 to 64. */
const SIGNAL_MAX = 64;

const WINDOW_MAX = 10_000;

const NO_NUL = '^[^\\u0000]*$';

const Rows = Int64({ minimum: 1, maximum: WINDOW_MAX, description: 'Lines of the terminal' });
const Columns = Int64({ minimum: 1, maximum: WINDOW_MAX, description: 'Characters of a line' });

export const ExecSchema = Type.Object(
  {
    id: Type.String({ description: 'Made by the daemon' }),
    vm: Type.String({ description: 'Name of the VM' }),
    argv: Type.Array(Type.String(), {
      description: 'The program and its arguments, truncated to some 400 bytes',
    }),
    user: Type.String({ description: 'As it was asked for; root when nothing was' }),
    tty: Type.Boolean({ description: 'It has a terminal; its output is stdout' }),
    state: OneOf(
      EXEC_STATES,
      'lost: the guest has ended, and with it the program; nobody knows how',
    ),
    exit_code: Nullable(
      Type.Integer({ minimum: 0, maximum: 255, description: 'If it has exited by itself' }),
    ),
    signal: Nullable(Type.String({ description: 'SIGKILL for example, if a signal ended it' })),
    timed_out: Type.Boolean({ description: 'timeout_ms has passed, and it got SIGTERM' }),
    started_at: Nullable(Timestamp('By the clock of the guest')),
    ended_at: Nullable(Timestamp('By the clock of the guest')),
    stdin_open: Type.Boolean({ description: 'It takes input' }),
    stdin_bytes: Int64({ description: 'Input that its standard input has taken' }),
    stdout_bytes: Int64({ description: 'What it has written to stdout' }),
    stdout_kept_from: Int64({ description: 'Offset of the oldest byte that is kept' }),
    stderr_bytes: Int64({ description: 'What it has written to stderr' }),
    stderr_kept_from: Int64({ description: 'Offset of the oldest byte that is kept' }),
    truncated: Type.Boolean({ description: 'The oldest output was not kept' }),
    warnings: Type.Optional(Warnings),
  },
  { $id: 'Exec' },
);

export type Exec = Static<typeof ExecSchema>;

export const ExecResultSchema = Type.Object(
  {
    ...ExecSchema.properties,
    stdout: Type.Optional(
      Type.String({
        description: 'The newest output, with wait=exit; in the form that was asked for',
      }),
    ),
    stderr: Type.Optional(Type.String({ description: 'Likewise' })),
  },
  { $id: 'ExecResult' },
);

export const CreateExecSchema = Type.Object(
  {
    argv: Type.Optional(
      Type.Array(Type.String({ pattern: NO_NUL }), {
        minItems: 1,
        maxItems: LIMITS.execArgumentsMax,
        description:
          'The program, by its path or a name that PATH has, and its arguments. Either this or command',
      }),
    ),
    command: Type.Optional(
      Type.String({ minLength: 1, pattern: NO_NUL, description: 'Run by /bin/sh -c' }),
    ),
    env: Type.Optional(
      MapOf(Type.String({ pattern: NO_NUL, description: 'Beside PATH, HOME, USER and LOGNAME' })),
    ),
    workdir: Type.Optional(
      Text('^/[^\\u0000]{0,4094}$', 'Working directory, an absolute path; / when absent'),
    ),
    user: Type.Optional(
      Text(
        '^[^:\\s\\u0000]{1,64}(:[^:\\s\\u0000]{1,63})?$',
        'Name or number of a user of the guest, and of a group after a colon; root when absent',
      ),
    ),
    stdin: Type.Optional(Type.String({ description: 'Given to its standard input, as UTF-8' })),
    stdin_base64: Type.Optional(
      Text(
        '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$',
        'Likewise, as bytes in base64',
      ),
    ),
    stdin_open: Type.Optional(
      Type.Boolean({
        description:
          'Standard input stays open for later input; false when absent: it ends after stdin, or is /dev/null',
      }),
    ),
    tty: Type.Optional(
      Type.Boolean({ description: 'It gets a terminal, whose input is open; false when absent' }),
    ),
    rows: Type.Optional(Rows),
    columns: Type.Optional(Columns),
    timeout_ms: Type.Optional(
      Int64({
        minimum: 1,
        maximum: LIMITS.execTimeoutMaxMs,
        description: 'After this time its process group gets SIGTERM; no timeout when absent',
      }),
    ),
    kill_after_ms: Type.Optional(
      Int64({
        maximum: LIMITS.execKillAfterMaxMs,
        description: `Time between SIGTERM and SIGKILL; ${LIMITS.execKillAfterMs} when absent`,
      }),
    ),
    output_limit_bytes: Type.Optional(
      Int64({
        minimum: 4096,
        maximum: LIMITS.execOutputBytesMax,
        description: `The newest bytes of stdout, and of stderr, that the guest keeps; ${LIMITS.execOutputBytes} when absent. A guest with little memory keeps less`,
      }),
    ),
  },
  { $id: 'CreateExecRequest' },
);

export type CreateExec = Static<typeof CreateExecSchema>;

export const ExecSignalSchema = Type.Object(
  { signal: Type.String({ description: 'Such as SIGINT, INT or 2' }) },
  { $id: 'ExecSignalRequest' },
);

export const ExecSizeSchema = Type.Object(
  { rows: Rows, columns: Columns },
  { $id: 'ExecSizeRequest' },
);

export const ExecInputSchema = Type.Object(
  {
    stdin_open: Type.Boolean({ description: 'It takes input still' }),
    stdin_bytes: Int64({ description: 'Bytes of this request that were taken' }),
  },
  { $id: 'ExecInput' },
);

export type ExecInput = Static<typeof ExecInputSchema>;

/** The number of a signal: SIGINT, INT or 2; null if there is none. */
export function signalNumber(text: string): number | null {
  const upper = text.toUpperCase();
  const named = SIGNALS[upper.startsWith('SIG') ? upper : `SIG${upper}`];
  const number = named ?? (/^\d{1,2}$/.test(text) ? Number(text) : 0);
  return number >= 1 && number <= SIGNAL_MAX ? number : null;
}

/** SIGINT for 2; the number as a text for one without a name. */
export function signalName(number: number): string {
  return Object.entries(SIGNALS).find(([, value]) => value === number)?.[0] ?? String(number);
}

/** The input that a request gives; undefined for none. */
export function inputOf({ stdin, stdin_base64: encoded }: CreateExec): Buffer | undefined {
  if (stdin !== undefined) return Buffer.from(stdin);
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64');
}
