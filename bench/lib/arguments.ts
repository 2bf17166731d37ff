// bench: what a call of the benchmarks asks for. No effects.

export const HELP = `Usage: npm run bench -- [SUITE...] [--quick] [--json] [--out FILE]
       npm run bench -- fleet --vms N [--real] [--json] [--out FILE]
       npm run bench -- all [--json] [--out FILE]
       npm run bench -- compare A.json B.json [--json]
       npm run bench -- docs RESULTS.json

--even-if-busy counts what was measured on a busy machine, for work on the benchmarks: the documentation takes no such file.`;

export type Call =
  | {
      readonly command: 'measure';
      readonly suites: readonly string[];
      readonly quick: boolean;
      readonly evenIfBusy: boolean;
      readonly json: boolean;
      readonly out: string | null;
    }
  | {
      readonly command: 'fleet';
      readonly vms: number;
      readonly real: boolean;
      readonly json: boolean;
      readonly out: string | null;
    }
  | {
      readonly command: 'compare';
      readonly before: string;
      readonly after: string;
      readonly json: boolean;
    }
  | { readonly command: 'docs'; readonly file: string }
  | { readonly command: 'help' }
  /** All suites, the fleets, and then the documentation. */
  | { readonly command: 'all'; readonly json: boolean; readonly out: string | null };

/** What the caller has to change: it is printed without a stack. */
export class UsageError extends Error {}

/** Throws a UsageError that says what is wrong. */
export function parseArguments(args: readonly string[], suites: readonly string[]): Call {
  const { words, flags, values } = split(args);
  if (flags.has('--help')) return { command: 'help' };
  const json = flags.has('--json');
  const out = values.get('--out') ?? null;
  const [command, ...rest] = words;
  if (command === 'compare') {
    allowOnly(flags, values, ['--json']);
    const [before, after, ...more] = rest;
    if (before === undefined || after === undefined || more.length > 0) {
      throw new UsageError('compare takes two results files');
    }
    return { command, before, after, json };
  }
  if (command === 'docs') {
    allowOnly(flags, values, []);
    const [file, ...more] = rest;
    if (file === undefined || more.length > 0) throw new UsageError('docs takes a results file');
    return { command, file };
  }
  if (command === 'all') {
    allowOnly(flags, values, ['--json', '--out']);
    if (rest.length > 0) throw new UsageError('all takes no suites');
    return { command, json, out };
  }
  if (command === 'fleet') {
    allowOnly(flags, values, ['--vms', '--real', '--json', '--out']);
    const vms = Number(values.get('--vms'));
    if (!Number.isInteger(vms) || vms < 1) throw new UsageError('fleet takes --vms N');
    return { command, vms, real: flags.has('--real'), json, out };
  }
  allowOnly(flags, values, ['--quick', '--json', '--out', '--even-if-busy']);
  const unknown = words.filter((word) => !suites.includes(word));
  if (unknown.length > 0) {
    throw new UsageError(`There is no suite ${unknown.join(', ')}; there are ${suites.join(', ')}`);
  }
  return {
    command: 'measure',
    suites: words,
    quick: flags.has('--quick'),
    evenIfBusy: flags.has('--even-if-busy'),
    json,
    out,
  };
}

const TAKES_VALUE = ['--vms', '--out'];

function split(args: readonly string[]) {
  const words: string[] = [];
  const flags = new Set<string>();
  const values = new Map<string, string>();
  const left = [...args];
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    if (!word.startsWith('--')) words.push(word);
    else if (TAKES_VALUE.includes(word)) {
      const value = left.shift();
      if (value === undefined) throw new UsageError(`${word} takes a value`);
      values.set(word, value);
    } else flags.add(word);
  }
  return { words, flags, values };
}

function allowOnly(
  flags: ReadonlySet<string>,
  values: ReadonlyMap<string, string>,
  known: readonly string[],
): void {
  for (const option of [...flags, ...values.keys()]) {
    if (!known.includes(option)) throw new UsageError(`${option} is no option here`);
  }
}
