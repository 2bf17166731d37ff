// cli: completion of a command line. The scripts of the shells only call volar, which searches its own commands, so the
// scripts never have to change.

import type { Argument, Command, Option } from 'commander';

/** Finds names that only the daemon knows, by the name of the argument. */
export type NameSource = (argument: string) => Promise<readonly string[]>;

const BASH = `# bash completion of volar: source <(volar completion bash)
_volar() {
  local IFS=$'\\n'
  COMPREPLY=($(volar __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _volar volar`;

const ZSH = `#compdef volar
# zsh completion of volar: source <(volar completion zsh)
_volar() {
  local -a candidates
  candidates=("\${(@f)$(volar __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${candidates[1]}" ]]; then compadd -- "\${candidates[@]}"; else _files; fi
}
compdef _volar volar`;

export const SHELLS = ['bash', 'zsh'] as const;

export function completionScript(shell: (typeof SHELLS)[number]): string {
  return shell === 'bash' ? BASH : ZSH;
}

/** Candidates for the last word; none for a file name or free text. */
export async function complete(
  program: Command,
  words: readonly string[],
  names: NameSource,
): Promise<readonly string[]> {
  const last = words.at(-1) ?? '';
  const { command, argumentsBefore, open } = walk(program, words.slice(0, -1));
  const candidates = await candidatesFor(command, argumentsBefore, open, last, names);
  return candidates.filter((candidate) => candidate.startsWith(last)).sort();
}

interface Place {
  readonly command: Command;
  readonly argumentsBefore: number;
  /** An option that still needs its value. */
  readonly open: Option | undefined;
}

function walk(program: Command, words: readonly string[]): Place {
  let command = program;
  let argumentsBefore = 0;
  let open: Option | undefined;
  for (const word of words) {
    if (open !== undefined) open = undefined;
    else if (word.startsWith('-')) open = optionWithValue(command, word);
    else {
      const below = subcommandsOf(command).find((sub) => namesOf(sub).includes(word));
      if (below === undefined) argumentsBefore += 1;
      else [command, argumentsBefore] = [below, 0];
    }
  }
  return { command, argumentsBefore, open };
}

async function candidatesFor(
  command: Command,
  argumentsBefore: number,
  open: Option | undefined,
  last: string,
  names: NameSource,
): Promise<readonly string[]> {
  if (open !== undefined) return open.argChoices ?? names(valueNameOf(open));
  if (last.startsWith('-')) {
    return [...optionsOf(command).flatMap(({ long }) => long ?? []), '--help'];
  }
  const subcommands = subcommandsOf(command).map((sub) => sub.name());
  if (subcommands.length > 0) return [...subcommands, 'help'];
  const argument = argumentAt(command, argumentsBefore);
  return argument?.argChoices ?? (argument === undefined ? [] : names(argument.name()));
}

/** The last argument repeats if it takes several values. */
function argumentAt(command: Command, at: number): Argument | undefined {
  const { registeredArguments: known } = command;
  const last = known.at(-1);
  return known[at] ?? (last?.variadic ? last : undefined);
}

/** Hidden commands begin with two underscores. */
function subcommandsOf(command: Command): readonly Command[] {
  return command.commands.filter((sub) => !sub.name().startsWith('__'));
}

function namesOf(command: Command): readonly string[] {
  return [command.name(), ...command.aliases()];
}

/** The options of the command and of the commands above it. */
function optionsOf(command: Command): readonly Option[] {
  const above = command.parent === null ? [] : optionsOf(command.parent);
  return [...command.options, ...above].filter(({ hidden }) => !hidden);
}

function optionWithValue(command: Command, word: string): Option | undefined {
  return optionsOf(command).find(
    ({ required, optional, short, long }) =>
      (required || optional) && (word === short || word === long),
  );
}

/** `vm` of `--name <vm>`. */
function valueNameOf({ flags }: Option): string {
  return /<([^>]+)>/.exec(flags)?.[1] ?? '';
}
