// cli: where the words of a program begin on the command line of a command that runs an image. There the options of volar end at
// the image, as they do for docker: what follows belongs to the program, also if it looks like an option. Pure.

import type { Command, Option } from 'commander';

/** Where `--` stands, nothing more has to be found out. */
const END_OF_OPTIONS = '--';

/** The words with `--` behind the image of `volar run`, so that the parser leaves the rest alone; others are unchanged. */
export function endOptionsAtImage(program: Command, words: readonly string[]): string[] {
  const at = firstOperand(program.options, words, 0);
  const run = program.commands.find((command) => command.name() === 'run');
  if (run === undefined || words[at] !== run.name()) return [...words];
  const image = firstOperand([...run.options, ...program.options], words, at + 1);
  if (image >= words.length || words[image] === END_OF_OPTIONS) return [...words];
  const rest = words.slice(image + 1);
  const own = rest[0] === END_OF_OPTIONS ? rest.slice(1) : rest;
  return [...words.slice(0, image + 1), END_OF_OPTIONS, ...own];
}

/** The index of the first word from `from` on that is neither an option nor the value of one; the number of words if none is. */
function firstOperand(options: readonly Option[], words: readonly string[], from: number): number {
  let at = from;
  while (at < words.length) {
    const word = words[at] ?? '';
    if (word === END_OF_OPTIONS || word === '-' || !word.startsWith('-')) return at;
    at += takesNextWord(options, word) ? 2 : 1;
  }
  return at;
}

function takesNextWord(options: readonly Option[], word: string): boolean {
  if (word.startsWith('--')) return options.some(({ long, required }) => required && long === word);
  // Of letters that are joined the first with a value takes the rest as its value, or the next word if it is the last letter.
  for (const [index, letter] of [...word.slice(1)].entries()) {
    const option = options.find(({ short }) => short === `-${letter}`);
    if (option?.required) return index === word.length - 2;
  }
  return false;
}
