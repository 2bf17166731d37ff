// scripts: runs a command in the root directory of another system, with a copy of the checkout at /src. All mounts are in a
// mount namespace of their own and all changes in a layer of their own, so nothing is left behind.

import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { Failure } from '../command.mjs';
import { PROJECT_ROOT } from '../paths.mjs';

/** Directories that setup creates again in the copy. */
const NOT_COPIED = new Set(['node_modules', 'build', 'dist', '.build', '.git']);

/**
 * Arguments: $1 root, $2 directory of the layer, $3 npm's cache, $4 npm's settings, then the command. The shell stays as
 * the first process of the namespace and reaps orphans; when it ends, every process ends.
 */
const ENTER = `
set -e
root=$1 layer=$2 cache=$3 settings=$4; shift 4
mkdir -p "$layer/work" "$layer/upper" "$layer/merged"
mount -t overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" overlay "$layer/merged"
cd "$layer/merged"
mount -t proc proc proc; mount --rbind /sys sys; mount --rbind /dev dev
mount -t tmpfs run run; mount -t tmpfs tmp tmp; mkdir -p run/netns run/lock
if [ -e /etc/resolv.conf ]; then touch etc/resolv.conf; mount --bind /etc/resolv.conf etc/resolv.conf; fi
if [ -d /etc/ssl/certs ]; then mount --bind /etc/ssl/certs etc/ssl/certs; fi
if [ -d "$cache" ]; then mkdir -p root/.npm; mount --bind "$cache" root/.npm; fi
if [ -f "$settings" ]; then touch root/.npmrc; mount --bind "$settings" root/.npmrc; fi
pivot_root . mnt
cd /
umount -l /mnt
status=0
"$@" || status=$?
exit $status
`;

/**
 * A layer over the root with a copy of the checkout. Later commands see the files of earlier ones; only one runs at a time.
 * remove() deletes the layer.
 */
export function makeOtherSystem(root) {
  const parent = dirname(root);
  removeAbandoned(parent);
  const layer = mkdtempSync(join(parent, `layer-${process.pid}-`));
  const source = join(layer, 'upper/src');
  mkdirSync(source, { recursive: true });
  cpSync(PROJECT_ROOT, source, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => !NOT_COPIED.has(relative(PROJECT_ROOT, path).split('/')[0]),
  });
  return {
    run: (argv, options) => runThere({ root, layer, argv, ...options }),
    remove: () => rmSync(layer, { recursive: true, force: true }),
  };
}

/** Removes layers of processes that were killed before they could remove them. */
function removeAbandoned(parent) {
  for (const name of readdirSync(parent)) {
    const pid = /^layer-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    rmSync(join(parent, name), { recursive: true, force: true });
  }
}

/**
 * Resolves with the exit status. `prefix` is put before the command (a network namespace). `onLine` gets each line of both
 * outputs. `onStart(kill)` gets a function that ends everything, and returns one that is called after the end.
 */
function runThere({
  root,
  layer,
  nodeMajor,
  argv,
  prefix = [],
  environment = {},
  onLine,
  onStart,
}) {
  const cache = process.env.npm_config_cache ?? join(homedir(), '.npm');
  const settings = process.env.npm_config_userconfig ?? join(homedir(), '.npmrc');
  const variables = {
    HOME: '/root',
    LANG: 'C.UTF-8',
    TERM: 'dumb',
    PATH: `/opt/node-${nodeMajor}/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    npm_config_prefer_offline: 'true',
    ...fromHere(),
    ...environment,
  };
  const env = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const inside = ['/usr/bin/env', '-i', '-C', '/src', ...env, ...argv];
  const spaces = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child'];
  // Everything ends with this process, even if it is killed.
  const unshare = ['setpriv', '--pdeathsig', 'KILL', 'unshare', ...spaces, '--'];
  const enter = ['/bin/sh', '-c', ENTER, 'enter', root, layer, cache, settings];
  const [command, ...args] = [...prefix, ...unshare, ...enter, ...inside];
  const child = spawn(command, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = () => {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  };
  const ended = onStart?.(kill);
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => onLine?.(line));
  }
  return new Promise((resolve, reject) => {
    child.once('error', (error) =>
      reject(new Failure(`${command} cannot be run: ${error.message}`)),
    );
    child.once('exit', kill);
    child.once('close', (status) => {
      ended?.();
      resolve(status ?? 1);
    });
  });
}

/** The environment for network access, copied from this process. */
function fromHere() {
  const names = ['http_proxy', 'https_proxy', 'no_proxy', 'npm_config_registry'];
  const known = [...names, ...names.map((name) => name.toUpperCase())].flatMap((name) =>
    process.env[name] === undefined ? [] : [[name, process.env[name]]],
  );
  // This variable names the certificate of networks with an authority of their own.
  const file = '/etc/ssl/certs/ca-certificates.crt';
  if (existsSync(file)) known.push(['NODE_EXTRA_CA_CERTS', file]);
  return Object.fromEntries(known);
}
