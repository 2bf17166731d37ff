// cli, commands: `volar keys`: the file of API keys, on the host of the daemon. These commands do not contact the daemon: a
// user who may write the file decides who may use the API.

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
} from '../../lib/files/key-file.ts';
import { changePrivateFile, fileProblem, readPrivateFile } from '../../lib/files/private-file.ts';
import { SCOPES, type Scope } from '../../lib/scopes.ts';
import { expandHome } from '../../lib/settings.ts';
import { parseDurationMs } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';
import type { Environment } from '../terminal/streams.ts';
import type { Column } from '../terminal/table.ts';

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
    .description('create a key; it is printed once')
    .argument('<name>', `its name: ${KEY_NAME_RULE}`)
    .addOption(new Option('--scope <scope>', 'what the key may do').choices(SCOPES).default('read'))
    .option('--prefix <text>', 'only VMs and deployments whose names begin with this text')
    .option('--expires <duration>', 'lifetime: 12h, 90d; unlimited by default')
    .action(
      shells.action<CreateOptions>((shell, [name = ''], options) =>
        create(shell, fileOf(environment, options), name, options),
      ),
    );
  withFile(keys.command('list'))
    .description('list the keys without their secrets, and the time of their last use')
    .action(
      shells.action<FileOption>(async (shell, _args, options) => {
        const rows = await rowsOf(fileOf(environment, options));
        shell.printRows(rows, COLUMNS, 'No keys.');
      }),
    );
  withFile(keys.command('rotate'))
    .description('create another key of the same name; earlier ones expire after a grace period')
    .argument('<name>', 'name of a key')
    .option('--grace <duration>', 'how long earlier keys stay valid', '1d')
    .action(
      shells.action<FileOption & { grace: string }>((shell, [name = ''], options) =>
        rotate(shell, fileOf(environment, options), name, durationOf(options.grace)),
      ),
    );
  withFile(keys.command('remove'))
    .description('remove the keys of a name immediately')
    .argument('<name>', 'name of the keys')
    .option('--id <id>', 'remove only the key with this id')
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
  return command.option(
    '--file <file>',
    'the keys file; default: VOLANT_API_KEYS_FILE or <home>/keys.json',
  );
}

async function create(
  shell: Shell,
  file: string,
  name: string,
  { scope, prefix = '', expires }: CreateOptions,
): Promise<void> {
  if (!isKeyName(name))
    throw new UsageError(`${name} is not a valid name of a key: it ${KEY_NAME_RULE}`);
  if (!isNamePrefix(prefix)) throw new UsageError(`${prefix} is not the beginning of a valid name`);
  const expiresAt = expires === undefined ? null : after(durationOf(expires));
  const made = makeKey({ name, scope, prefix, expiresAt });
  await change(file, (keys) => {
    if (keys.some((key) => key.name === name)) {
      throw new UsageError(`There is a key named ${name}: rotate or remove that one`);
    }
    return [...keys, made.stored];
  });
  sayKey(shell, made);
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
  if (made !== undefined) sayKey(shell, made);
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
    shell.note('No key is left in the file; the API still requires one.');
  }
}

/** Prints the key alone on standard output, so that it can be piped to a file or a secret store. */
function sayKey(shell: Shell, { key, stored }: ReturnType<typeof makeKey>): void {
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
      // Keys that expired long ago are removed.
      const known = (await keysIn(file)).filter(
        ({ expiresAt }) => expiresAt === null || Date.parse(expiresAt) > Date.now() - 30 * DAY_MS,
      );
      const keys = to(known);
      if (keys.length > KEYS_MAX) throw new UsageError(`There may be at most ${KEYS_MAX} keys`);
      return renderKeys(keys);
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const why = `Another volar is changing ${file}. If none is running, one was killed: remove ${file}.new`;
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

/** undefined if there is no file. */
async function textOf(file: string): Promise<string | undefined> {
  try {
    return (await readPrivateFile(file, KEY_FILE_BYTES_MAX, 'owner')).text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Error(fileProblem(file, error), { cause: error });
  }
}

/** The path that the daemon uses with this environment. */
function fileOf(environment: Environment, { file }: FileOption): string {
  const home = environment['VOLANT_HOME']?.trim() || join(homedir(), '.volant');
  const given = file ?? environment['VOLANT_API_KEYS_FILE']?.trim();
  return resolve(expandHome(given || join(expandHome(home), 'keys.json')));
}

/** Accepts days, too: keys live longer than other durations of the command line. */
function durationOf(text: string): number {
  const days = /^(\d{1,5})d$/.exec(text)?.[1];
  return days === undefined ? parseDurationMs(text) : Number(days) * DAY_MS;
}

function after(durationMs: number): string {
  return new Date(Date.now() + durationMs).toISOString();
}
