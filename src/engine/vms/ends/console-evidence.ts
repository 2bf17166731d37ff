// engine, vms: reads the last lines of a guest's console for evidence of how the guest ended. The guest controls this
// text, so it is shortened to one line and used as a hint only. Pure.

import type { ConsoleEnd } from '../processes/exit-meaning.ts';

export interface ConsoleEvidence {
  readonly end: ConsoleEnd;
  /** The most telling line: of a panic, else of a lack of memory, else the last one. null for an empty console. */
  readonly line: string | null;
}

const PANIC = /Kernel panic - not syncing.*/;
/** kernel_restart() of Linux prints it on a reboot, but not on a panic. */
const REBOOT = /reboot: Restarting system/;
const OUT_OF_MEMORY = /Out of memory.*|Memory cgroup out of memory.*|.*invoked oom-killer.*/;

/** Earlier lines are unrelated to the end. */
const LINES_MAX = 200;
const LINE_CHARACTERS_MAX = 200;

// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal escapes are what it removes
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it removes
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
const KERNEL_TIME = /^(?:<\d+>)?\[ *\d+\.\d+\] /;

/** Evaluates the last bytes of a console. */
export function evidenceIn(console: Uint8Array): ConsoleEvidence {
  const lines = linesOf(console);
  const panic = lines.findLastIndex((line) => PANIC.test(line));
  const reboot = lines.findLastIndex((line) => REBOOT.test(line));
  if (panic > reboot)
    return { end: 'panicked', line: shortened(PANIC.exec(lines[panic] ?? '')?.[0]) };
  if (reboot >= 0) return { end: 'rebooted', line: null };
  const memory = lines.findLast((line) => OUT_OF_MEMORY.test(line));
  return { end: null, line: shortened(OUT_OF_MEMORY.exec(memory ?? '')?.[0] ?? lines.at(-1)) };
}

/** The last lines of a console as plain text. */
export function linesOf(console: Uint8Array): readonly string[] {
  return Buffer.from(console)
    .toString()
    .replaceAll(ESCAPES, '')
    .split(/[\r\n]+/)
    .map((line) => line.replaceAll(CONTROLS, '').replace(KERNEL_TIME, '').trim())
    .filter((line) => line !== '')
    .slice(-LINES_MAX);
}

function shortened(line: string | undefined): string | null {
  // The spread splits by character, so no character is split.
  return line === undefined ? null : [...line].slice(0, LINE_CHARACTERS_MAX).join('');
}
