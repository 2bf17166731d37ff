// scripts: the daemon's settings, looked at before it is started: what is wrong with them by the daemon's own
// rules, and how those of a running daemon differ.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readProcess } from './daemon.mjs';
import { PROJECT_ROOT } from './paths.mjs';

const CHECK = join(PROJECT_ROOT, 'dist/check.js');

/** What may be printed of a value is everything but a secret. */
const SECRET = /KEY|SECRET|TOKEN|PASSWORD/;

/** { problems, warnings, settings } by the daemon's own rules, or null before it was compiled. */
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

/** Sentences about the settings, of those named, that differ between two environments. */
export function differences(names, running, wanted) {
  // The home is the same; the log goes where whoever starts it says, unless a person says otherwise.
  const compared = names.filter(
    (name) => name !== 'VOLANT_HOME' && (name !== 'VOLANT_LOG_FILE' || wanted[name]),
  );
  const value = (environment, name) => environment[name]?.trim() ?? '';
  return compared
    .filter((name) => value(running, name) !== value(wanted, name))
    .map((name) => describe(name, value(running, name), value(wanted, name)));
}

function describe(name, there, here) {
  if (there !== '' && here !== '' && SECRET.test(name)) return `${name} is another one here`;
  const shown = (text) => (text === '' ? 'not set' : SECRET.test(name) ? 'set' : text);
  return `${name} is ${shown(there)} there and ${shown(here)} here`;
}
