// scripts: checks the host before anything is changed. Each problem is one sentence that ends with its remedy; all problems
// are reported together.

import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { Failure } from '../command.mjs';
import { listenAddress } from '../paths.mjs';
import { findBusybox, hasApt, missingTools } from '../systems/debian.mjs';
import { findDaemon } from './daemon.mjs';

const NODE_MAJOR_MIN = 20;
/** The HTTP server's binaries for Node 22 and newer need this version of glibc. */
const GLIBC_FOR_NEW_NODE = [2, 38];
const NEW_NODE_MAJOR = 22;
const NODE_RECOMMENDED = 24;

/** Problems that prevent a build. */
export function buildProblems(host = thisHost()) {
  const problems = [];
  if (host.platform !== 'linux' || host.arch !== 'x64') {
    problems.push(
      `Volant runs on x86-64 Linux, and this is ${host.platform}/${host.arch}: use such a machine or VM.`,
    );
  }
  const nodeMajor = Number(host.nodeVersion.split('.')[0]);
  if (nodeMajor < NODE_MAJOR_MIN) {
    problems.push(
      `Node ${host.nodeVersion} is too old: install Node ${NODE_RECOMMENDED}, or Node ${NODE_MAJOR_MIN} where glibc is older than ${GLIBC_FOR_NEW_NODE.join('.')}.`,
    );
  } else if (host.glibcVersion === null) {
    problems.push(
      'Volant needs a system with glibc (Debian, Ubuntu): musl systems are not supported.',
    );
  } else if (nodeMajor >= NEW_NODE_MAJOR && olderThan(host.glibcVersion, GLIBC_FOR_NEW_NODE)) {
    problems.push(
      `With glibc ${host.glibcVersion} the HTTP server cannot be loaded into Node ${host.nodeVersion}: use Node 20, or a system with glibc ${GLIBC_FOR_NEW_NODE.join('.')} or newer.`,
    );
  }
  return problems;
}

/** Limitations of this version of Node, as one sentence, or null. */
export function nodeLimit(nodeVersion = process.versions.node) {
  if (Number(nodeVersion.split('.')[0]) >= NEW_NODE_MAJOR) return null;
  return `With Node ${nodeVersion} a request whose first line arrives in two TCP segments is answered with 505, and Node 20 is out of support: Node ${NODE_RECOMMENDED} on a system with glibc ${GLIBC_FOR_NEW_NODE.join('.')} or newer is recommended, see docs/systems.md`;
}

/** Problems that prevent the daemon from running with networks. */
export async function runProblems(home, environment = process.env) {
  const problems = [];
  if (process.getuid() !== 0) {
    problems.push('Networks and cgroups need root: run this command with sudo or in a root shell.');
  } else {
    const tunProblem = tryTun();
    if (tunProblem !== null) problems.push(tunProblem);
  }
  if (!canWriteBelow(home)) {
    problems.push(`${home} cannot be written: set VOLANT_HOME to a writable directory.`);
  }
  const missing = missingTools();
  if (!hasApt() && (missing.length > 0 || findBusybox() === null)) {
    const list = [...missing, ...(findBusybox() === null ? ['busybox-static'] : [])].join(', ');
    problems.push(
      `This is not a Debian or Ubuntu system: install the equivalents of these packages: ${list}.`,
    );
  }
  const listenProblem = findDaemon(home) === null ? await tryListen(environment) : null;
  if (listenProblem !== null) problems.push(listenProblem);
  return problems;
}

/** Throws a Failure that lists the problems, if there are any. */
export function requireNone(problems) {
  if (problems.length === 0) return;
  throw new Failure(problems.map((problem) => `  - ${problem}`).join('\n'));
}

function thisHost() {
  const isNew = Number(process.versions.node.split('.')[0]) >= NEW_NODE_MAJOR;
  return {
    platform: process.platform,
    arch: process.arch,
    nodeVersion: process.versions.node,
    // The report takes a while, so it is made only if the version matters.
    glibcVersion: isNew ? (process.report.getReport().header.glibcVersionRuntime ?? null) : '2',
  };
}

function olderThan(version, [major, minor]) {
  const [ownMajor, ownMinor = 0] = version.split('.').map(Number);
  return ownMajor < major || (ownMajor === major && ownMinor < minor);
}

function tryTun() {
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
    return null;
  } catch (error) {
    const remedy = existsSync('/.dockerenv')
      ? 'start the container with `--device /dev/net/tun --cap-add NET_ADMIN`'
      : 'run `modprobe tun`, and in a container pass the device in';
    return `/dev/net/tun cannot be opened (${error.code}), and guests get their network from it: ${remedy}.`;
  }
}

/** True if a file can be created in a directory that may not exist yet. */
export function canWriteBelow(directory) {
  let existing = directory;
  while (!existsSync(existing)) existing = dirname(existing);
  try {
    accessSync(existing, constants.W_OK | constants.X_OK);
    return true;
  } catch (error) {
    if (!['EACCES', 'EROFS', 'EPERM'].includes(error.code)) throw error;
    return false;
  }
}

async function tryListen(environment) {
  const address = listenAddress(environment);
  if (address === null) {
    return `VOLANT_API_LISTEN is ${environment.VOLANT_API_LISTEN}: use host:port or unix:/path.`;
  }
  if (address.socketPath !== undefined) return trySocketDirectory(address.socketPath);
  const code = await listenOnce(address);
  if (code === null) return null;
  const text = `${address.host}:${address.port}`;
  return code === 'EADDRINUSE'
    ? `${text} is in use by another program (\`ss -ltnp 'sport = :${address.port}'\` names it): stop that, or set VOLANT_API_LISTEN to another address.`
    : `${text} cannot be bound (${code}): set VOLANT_API_LISTEN to an address of this host.`;
}

function trySocketDirectory(socketPath) {
  mkdirSync(dirname(socketPath), { recursive: true });
  return canWriteBelow(dirname(socketPath))
    ? null
    : `${dirname(socketPath)} cannot be written: set VOLANT_API_LISTEN to another path.`;
}

async function listenOnce({ host, port }) {
  try {
    // The daemon does the same: IPv4 if a name has both.
    const found = await lookup(host, { all: true });
    const { address } = found.find(({ family }) => family === 4) ?? found[0];
    const server = createServer().listen({ host: address, port, exclusive: true });
    await once(server, 'listening');
    await promisify(server.close.bind(server))();
    return null;
  } catch (error) {
    if (error.code === undefined) throw error;
    return error.code;
  }
}

/** A description of the host for the first line of a start. */
export function describeHost() {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const name = /^PRETTY_NAME="?([^"\n]*)/m.exec(release)?.[1] ?? 'Linux';
  return `${name}, Node ${process.versions.node}`;
}
