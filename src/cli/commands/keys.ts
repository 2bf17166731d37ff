// cli, commands: `volar keys`: the file of API keys, on the host of the daemon. It asks no daemon: who may
// write the file decides who may use the API.

import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import {
  isKeyName,
  isNamePrefix,
  KEY_FILE_BYTES_MAX,
  KEY_NAME_RULE,
  KEYS_MAX,
  makeKey,
  parseKeys,
  parseUses,
  renderKeys,
  type StoredKey,
  usesFileOf,
} from '../../lib/key-file.ts';
import { changePrivateFile, fileProblem, readPrivateFile } from '../../lib/private-file.ts';
import { SCOPES, type Scope } from '../../lib/scopes.ts';
import { expandHome } from '../../lib/settings.ts';
import { parseDurationMs } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import type { Shell, ShellMaker } from '../shell.ts';
import type { Environment } from '../streams.ts';
import type { Column } from '../table.ts';

interface FileOption {
  readonly file?: string;
}

type Row = Omit<StoredKey, 'sha256'> & { readonly lastUsedAt: string | null };

const COLUMNS: readonly Column<Row>[] = [
  { title: 'NAME', of: ({ name }) => name },
  { title: 'ID', of: ({ id }) => id },
  { title: 'SCOPE', of: ({ scope }) => scope },
  { title: 'PREFIX', of: ({ prefix }) => prefix || undefined },
  { title: 'CREATED', of: ({ createdAt }) => createdAt },
  { title: 'EXPIRES', of: ({ expiresAt }) => expiresAt ?? undefined },
  { title: 'LAST USED', of: ({ lastUsedAt }) => lastUsedAt ?? undefined },
];

const DAY_MS = 86_400_000;

export function addKeys(program: Command, shells: ShellMaker): void {
  const keys = program.command('keys').description('named API keys, in a file of this host');
  const { environment } = shells;
  withFile(keys.command('create'))
    .description('make a key; it is printed once')
    .argument('<name>', `its name: ${KEY_NAME_RULE}`)
    .addOption(new Option('--scope <scope>', 'what it may do').choices(SCOPES).default('read'))
    .option('--prefix <text>', 'only VMs and deployments whose names begin with it')
    .option('--expires <duration>', 'how long it is good: 12h, 90d; for ever unless told')
    .action(
      shells.action<CreateOptions>((shell, [name = ''], options) =>
        create(shell, fileOf(environment, options), name, options),
      ),
    );
  withFile(keys.command('list'))
    .description('the keys, without the keys themselves, and when they were used last')
    .action(
      shells.action<FileOption>(async (shell, _args, options) => {
        const rows = await rowsOf(fileOf(environment, options));
        shell.printRows(rows, COLUMNS, 'No keys.');
      }),
    );
  withFile(keys.command('rotate'))
    .description('make another key of the same name; earlier ones expire after a while')
    .argument('<name>', 'name of a key')
    .option('--grace <duration>', 'how long earlier ones are good still', '1d')
    .action(
      shells.action<FileOption & { grace: string }>((shell, [name = ''], options) =>
        rotate(shell, fileOf(environment, options), name, durationOf(options.grace)),
      ),
    );
  withFile(keys.command('remove'))
    .description('remove the keys of a name, at once')
    .argument('<name>', 'name of the keys')
    .option('--id <id>', 'only this one of them')
    .action(
      shells.action<FileOption & { id?: string }>((shell, [name = ''], options) =>
        remove(shell, fileOf(environment, options), name, options.id),
      ),
    );
}

interface CreateOptions extends FileOption {
  readonly scope: Scope;
  readonly prefix?: string;
  readonly expires?: string;
}

function withFile(command: Command): Command {
  return command.option('--file <file>', 'the file; VOLANT_API_KEYS_FILE or <home>/keys.json');
}

async function create(
  shell: Shell,
  file: string,
  name: string,
  { scope, prefix = '', expires }: CreateOptions,
): Promise<void> {
  if (!isKeyName(name)) throw new UsageError(`${name} is no name of a key: it ${KEY_NAME_RULE}`);
  if (!isNamePrefix(prefix)) throw new UsageError(`${prefix} is no beginning of a name`);
  const expiresAt = expires === undefined ? null : after(durationOf(expires));
  const made = makeKey({ name, scope, prefix, expiresAt });
  await change(file, (keys) => {
    if (keys.some((key) => key.name === name)) {
      throw new UsageError(`There is a key named ${name}: rotate or remove that one`);
    }
    return [...keys, made.stored];
  });
  tell(shell, made);
}

async function rotate(shell: Shell, file: string, name: string, graceMs: number): Promise<void> {
  let made: ReturnType<typeof makeKey> | undefined;
  await change(file, (keys) => {
    const newest = keys.findLast((key) => key.name === name);
    if (newest === undefined) throw new UsageError(`There is no key named ${name}`);
    made = makeKey({ ...newest, expiresAt: null });
    const end = after(graceMs);
    const ending = keys.map((key) => {
      if (key.name !== name) return key;
      const isSooner = key.expiresAt !== null && Date.parse(key.expiresAt) < Date.parse(end);
      return isSooner ? key : { ...key, expiresAt: end };
    });
    return [...ending, made.stored];
  });
  if (made !== undefined) tell(shell, made);
}

async function remove(shell: Shell, file: string, name: string, id?: string): Promise<void> {
  let left: readonly StoredKey[] = [];
  await change(file, (keys) => {
    left = keys.filter((key) => key.name !== name || (id !== undefined && key.id !== id));
    if (left.length === keys.length) throw new UsageError(`There is no such key named ${name}`);
    return left;
  });
  shell.say({ removed: name, keys: left.length }, `removed ${name}`);
  if (left.length === 0) {
    shell.note('No key is left in the file; the API needs one all the same.');
  }
}

/** The key on standard output alone, so that it can go into a file or a secret store. */
function tell(shell: Shell, { key, stored }: ReturnType<typeof makeKey>): void {
  const { id, name, scope, prefix, expiresAt } = stored;
  shell.say({ key, id, name, scope, prefix, expires_at: expiresAt }, key);
  shell.note(`This is the key ${name} (${id}, ${scope}). It is not shown again.`);
}

async function rowsOf(file: string): Promise<readonly Row[]> {
  const uses = parseUses((await textOf(usesFileOf(file))) ?? '{}');
  return (await keysIn(file)).map(({ sha256, ...key }) => ({
    ...key,
    lastUsedAt: uses[key.id] ?? null,
  }));
}

async function change(
  file: string,
  to: (keys: readonly StoredKey[]) => readonly StoredKey[],
): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  try {
    await changePrivateFile(file, async () => {
      // What has expired long ago is of no use to anybody.
      const known = (await keysIn(file)).filter(
        ({ expiresAt }) => expiresAt === null || Date.parse(expiresAt) > Date.now() - 30 * DAY_MS,
      );
      const keys = to(known);
      if (keys.length > KEYS_MAX) throw new UsageError(`There may be ${KEYS_MAX} keys at most`);
      return renderKeys(keys);
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const why = `Another volar changes ${file}. If none runs, one was killed: remove ${file}.new`;
    throw new Error(why, { cause: error });
  }
}

async function keysIn(file: string): Promise<readonly StoredKey[]> {
  const text = await textOf(file);
  if (text === undefined) return [];
  try {
    return parseKeys(text);
  } catch (error) {
    throw new Error(fileProblem(file, error), { cause: error });
  }
}

/** undefined where there is no file. */
async function textOf(file: string): Promise<string | undefined> {
  try {
    return (await readPrivateFile(file, KEY_FILE_BYTES_MAX, 'owner')).text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Error(fileProblem(file, error), { cause: error });
  }
}

/** Where the daemon of this environment looks, too. */
function fileOf(environment: Environment, { file }: FileOption): string {
  const home = environment['VOLANT_HOME']?.trim() || join(homedir(), '.volant');
  const given = file ?? environment['VOLANT_API_KEYS_FILE']?.trim();
  return resolve(expandHome(given || join(expandHome(home), 'keys.json')));
}

/** Keys live for days; other durations of the command line do not. */
function durationOf(text: string): number {
  const days = /^(\d{1,5})d$/.exec(text)?.[1];
  return days === undefined ? parseDurationMs(text) : Number(days) * DAY_MS;
}

function after(durationMs: number): string {
  return new Date(Date.now() + durationMs).toISOString();
}
