// scripts: paths of the project, and the few settings that the scripts share with the daemon. The daemon reads its settings
// in src/config.ts.

import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout, or the installed package. */
export const PROJECT_ROOT = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '');

/** An installed package contains compiled code instead of sources, and npm has installed its packages. */
export const IS_CHECKOUT = existsSync(join(PROJECT_ROOT, 'tsconfig.json'));

/** The command that a user types for one of: setup, up, down, install:service, uninstall:service. */
export function userCommand(name, ...args) {
  if (!IS_CHECKOUT)
    return ['npx', 'volantd', name.replace(/(un)?install:/, '$1install-'), ...args].join(' ');
  return ['npm run', name, ...(args.length > 0 ? ['--', ...args] : [])].join(' ');
}

/** Output of the build; everything below it can be deleted and built again. */
export const BUILD = {
  root: join(PROJECT_ROOT, 'build'),
  addon: join(PROJECT_ROOT, 'build/Release/volant_native.node'),
  agent: join(PROJECT_ROOT, 'build/guest/agent'),
  images: join(PROJECT_ROOT, 'build/images'),
  /** Each source of src/, compiled by itself, with its types. */
  modules: join(PROJECT_ROOT, 'build/modules'),
  simulator: join(PROJECT_ROOT, 'build/simulator/simulator'),
  /** Packages that are unpacked here instead of installed. */
  packages: join(PROJECT_ROOT, 'build/packages'),
  /** A link to the directory of these tools, which is outside of the checkout. */
  openApiTools: join(PROJECT_ROOT, 'build/openapi-tools'),
  stamps: join(PROJECT_ROOT, 'build/stamps'),
};

/** The daemon's home directory, by the daemon's own rules. */
export function homeDirectory(environment = process.env) {
  const text = environment.VOLANT_HOME?.trim() || '~/.volant';
  const home = environment.HOME ?? homedir();
  return resolve(text === '~' || text.startsWith('~/') ? join(home, text.slice(1)) : text);
}

/** The value of VOLANT_API_LISTEN: a unix socket's path, or host and port. null if it is not valid. */
export function listenAddress(environment = process.env) {
  const text = environment.VOLANT_API_LISTEN?.trim() || '127.0.0.1:7777';
  if (text.startsWith('unix:')) return { socketPath: resolve(text.slice(5)) };
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:\s]+):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[2]) > 65535) return null;
  return { host: match[1].replace(/^\[|\]$/g, ''), port: Number(match[2]) };
}
