// command: the command line of volantd, and the commands that need no daemon: help, version, check. It loads nothing
// that is built on the host, so it works before `volantd setup`.

import { parseArgs } from 'node:util';
import { checkSettings } from './check.ts';
import type { Environment } from './lib/settings.ts';
import { isSupervisor, type Supervision } from './lib/supervision.ts';
import { VERSION } from './lib/version.ts';

/** Exit status when a person must change something first: a restart would not help. */
export const REFUSED = 2;

const USAGE = `volantd ${VERSION}: runs fleets of microVMs behind a REST API.

  volantd              serve in the foreground; settings come from the environment (VOLANT_*)
  volantd --check      report what is wrong with the settings, then end; --json prints JSON
  volantd --adopt-orphans
                       serve, after recording VMs that run or have disks but have no record; damaged
                       records are moved away
  volantd --restore FILE
                       replace the records by a backup (volar backup FILE), then end; the old records are
                       kept beside them
  volantd --teardown   delete every VM and everything that the daemon made in the kernel, then end
  volantd --version

About the host, as root:

  volantd setup                install and build what the host needs
  volantd up, volantd down     start the daemon in the background with a first VM, end it
  volantd image                pack the image of a plugin
  volantd install-service, volantd uninstall-service
                               a unit of systemd that starts the daemon with the host

A supervisor adds --supervisor volant|systemd [--unit NAME] [--restarts N] [--last-exit TEXT].
Exit status: 0 success; 1 failure; 2 refusal, because of arguments, settings, a directory that another
daemon uses, or records that are damaged or do not belong to the running VMs.
`;

export interface Arguments {
  readonly task: 'serve' | 'restore' | 'teardown' | 'check' | 'version' | 'help';
  /** For `restore`: the backup. */
  readonly file: string | null;
  /** For `serve` and `teardown`: record VMs that the records do not contain first. */
  readonly adoptOrphans: boolean;
  /** For `check`: print one JSON object. */
  readonly json: boolean;
  readonly supervision: Supervision;
}

const OPTIONS = {
  'adopt-orphans': { type: 'boolean', default: false },
  restore: { type: 'string' },
  teardown: { type: 'boolean', default: false },
  check: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  version: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
  supervisor: { type: 'string', default: 'none' },
  unit: { type: 'string' },
  restarts: { type: 'string' },
  'last-exit': { type: 'string' },
} as const;

const TASKS = ['restore', 'teardown', 'check', 'version', 'help'] as const;

/** Parses the arguments; null for a usage error. */
export function parseArguments(args: readonly string[]): Arguments | null {
  const values = read(args);
  if (values === null) return null;
  const tasks = TASKS.filter((name) => values[name] !== undefined && values[name] !== false);
  const [task = 'serve'] = tasks;
  const { supervisor, unit = null, restarts = null } = values;
  const { 'adopt-orphans': adoptOrphans, restore: file = null } = values;
  if (file === '') return null;
  if (tasks.length > 1 || (values.json && task !== 'check')) return null;
  if (adoptOrphans && !['serve', 'teardown'].includes(task)) return null;
  if (!isSupervisor(supervisor) || (restarts !== null && !/^\d{1,9}$/.test(restarts))) return null;
  const supervision = {
    kind: supervisor,
    unit,
    restarts: restarts === null ? null : Number(restarts),
    last_exit: values['last-exit'] ?? null,
  };
  return { task, file, adoptOrphans, json: values.json, supervision };
}

function read(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: false }).values;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (!code.startsWith('ERR_PARSE_ARGS')) throw error;
    return null;
  }
}

/** What the command prints, and the status that it ends with. */
export interface Answer {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Returns the answer to a command that needs no daemon; null for others. `parsed` is null after a usage error. */
export function answerWithoutDaemon(
  parsed: Arguments | null,
  environment: Environment,
): Answer | null {
  if (parsed === null) return { status: REFUSED, stdout: '', stderr: USAGE };
  if (parsed.task === 'help') return { status: 0, stdout: USAGE, stderr: '' };
  if (parsed.task === 'version') return { status: 0, stdout: `volantd ${VERSION}\n`, stderr: '' };
  return parsed.task === 'check' ? answerCheck(parsed.json, environment) : null;
}

function answerCheck(json: boolean, environment: Environment): Answer {
  const check = checkSettings(environment);
  const status = check.problems.length === 0 ? 0 : REFUSED;
  if (json) return { status, stdout: `${JSON.stringify(check)}\n`, stderr: '' };
  const stdout = status === 0 ? 'The settings can be used.\n' : '';
  const lines = [...check.problems, ...check.warnings.map((warning) => `Warning: ${warning}`)];
  return { status, stdout, stderr: lines.map((line) => `${line}\n`).join('') };
}
