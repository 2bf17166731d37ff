// scripts: checks the daemon's settings before it is started, by the daemon's own rules, and compares them with those of a
// running daemon.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../paths.mjs';
import { readProcess } from './daemon.mjs';

const CHECK = join(PROJECT_ROOT, 'dist/check.js');

/** Names of settings whose values are secret and must not be printed. */
const SECRET = /KEY|SECRET|TOKEN|PASSWORD/;

/** { problems, warnings, settings } by the daemon's own rules, or null if it is not compiled yet. */
export async function checkSettings(environment) {
  if (!existsSync(CHECK)) return null;
  const { checkSettings: check } = await import(CHECK);
  return check(environment);
}

/** The environment that a process was started with. */
export function environmentOf(pid) {
  const entries = readProcess(pid, 'environ').filter((entry) => entry.includes('='));
  return Object.fromEntries(
    entries.map((entry) => [
      entry.slice(0, entry.indexOf('=')),
      entry.slice(entry.indexOf('=') + 1),
    ]),
  );
}

/** Sentences about the named settings that differ between two environments. */
export function differences(names, running, wanted) {
  // The home directory is the same. The log path depends on what starts the daemon, unless a user sets it.
  const compared = names.filter(
    (name) => name !== 'VOLANT_HOME' && (name !== 'VOLANT_LOG_FILE' || wanted[name]),
  );
  const value = (environment, name) => environment[name]?.trim() ?? '';
  return compared
    .filter((name) => value(running, name) !== value(wanted, name))
    .map((name) => describe(name, value(running, name), value(wanted, name)));
}

function describe(name, there, here) {
  if (there !== '' && here !== '' && SECRET.test(name)) return `${name} differs here`;
  const shown = (text) => (text === '' ? 'not set' : SECRET.test(name) ? 'set' : text);
  return `${name} is ${shown(there)} there and ${shown(here)} here`;
}
