// engine, vms: what a guest's console showed last, as evidence of how the guest ended. The guest writes it: it is told, cut
// to a line, and never trusted with more. Pure.

/** What the kernel of a guest said of its own end; null: nothing. */
export type SaidEnd = 'panicked' | 'rebooted' | null;

export interface ConsoleWords {
  readonly end: SaidEnd;
  /** The line that tells most: of a panic, of a want of memory, else the last one. null: there is none. */
  readonly line: string | null;
}

const PANIC = /Kernel panic - not syncing.*/;
/** Said by kernel_restart() of Linux, which a reboot goes through and a panic does not. */
const REBOOT = /reboot: Restarting system/;
const OUT_OF_MEMORY = /Out of memory.*|Memory cgroup out of memory.*|.*invoked oom-killer.*/;

/** Lines further up have nothing to do with the end. */
const LINES_MAX = 200;
const LINE_CHARACTERS_MAX = 200;

// biome-ignore lint/suspicious/noControlCharactersInRegex: those of terminals are what is taken out
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the same
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
const KERNEL_TIME = /^(?:<\d+>)?\[ *\d+\.\d+\] /;

/** Of the last bytes of a console. */
export function wordsIn(console: Uint8Array): ConsoleWords {
  const lines = Buffer.from(console)
    .toString()
    .replaceAll(ESCAPES, '')
    .split(/[\r\n]+/)
    .map((line) => line.replaceAll(CONTROLS, '').replace(KERNEL_TIME, '').trim())
    .filter((line) => line !== '')
    .slice(-LINES_MAX);
  const panic = lines.findLastIndex((line) => PANIC.test(line));
  const reboot = lines.findLastIndex((line) => REBOOT.test(line));
  if (panic > reboot) return { end: 'panicked', line: cut(PANIC.exec(lines[panic] ?? '')?.[0]) };
  if (reboot >= 0) return { end: 'rebooted', line: null };
  const memory = lines.findLast((line) => OUT_OF_MEMORY.test(line));
  return { end: null, line: cut(OUT_OF_MEMORY.exec(memory ?? '')?.[0] ?? lines.at(-1)) };
}

function cut(line: string | undefined): string | null {
  // Not in the middle of a character.
  return line === undefined ? null : [...line].slice(0, LINE_CHARACTERS_MAX).join('');
}
