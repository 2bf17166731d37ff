// scripts: finds and ends the daemon, and calls its API; start.mjs starts it. The daemon of a home directory is the process
// that holds <home>/volantd.lock open: a pid in a file alone proves nothing.

import { X509Certificate } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { request as requestTls } from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../command.mjs';
import { homeDirectory, listenAddress, PROJECT_ROOT, userCommand } from '../paths.mjs';

export const ENTRY = join(PROJECT_ROOT, 'dist/main.js');
const LOOK_EVERY_MS = 50;
/** The daemon gives requests 20 s to finish, and needs up to 20 s more for its own end. */
const STOP_TIMEOUT_MS = 60_000;
const REQUEST_TIMEOUT_MS = 120_000;

export function daemonFiles(home) {
  return {
    lock: join(home, 'volantd.lock'),
    supervisorLock: join(home, 'volantd-supervisor.lock'),
    log: process.env.VOLANT_LOG_FILE || join(home, 'logs/volantd.log'),
    startLog: join(home, 'logs/volantd-start.log'),
  };
}

/** { pid, startedAtMs, supervisor } of the running daemon of this home directory, or null. */
export function findDaemon(home) {
  const { lock } = daemonFiles(home);
  const pid = holderOf(lock);
  if (pid === null) return null;
  return { pid, startedAtMs: statSync(lock).mtimeMs, supervisor: supervisorNamedBy(pid) };
}

/** The pid of the process that holds open the file that contains its pid; null if there is none. */
export function holderOf(lock) {
  if (!existsSync(lock)) return null;
  const pid = Number.parseInt(readFileSync(lock, 'utf8'), 10);
  return pid > 0 && holdsOpen(pid, statSync(lock)) ? pid : null;
}

/** The supervisor of the daemon, as its command line names it: { kind, unit }. */
function supervisorNamedBy(pid) {
  const args = readProcess(pid, 'cmdline');
  const after = (name) => args[args.indexOf(name, 1) + 1];
  const kind = args.includes('--supervisor') ? after('--supervisor') : 'none';
  return { kind, unit: args.includes('--unit') ? after('--unit') : null };
}

/** `cmdline` or `environ` of a process (proc(5)), as a list; empty if it has ended. */
export function readProcess(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0');
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return [];
    throw error;
  }
}

/** Compares device and inode: a process may know the file by another path. */
function holdsOpen(pid, file) {
  const directory = `/proc/${pid}/fd`;
  try {
    return readdirSync(directory).some((fd) => {
      try {
        const { dev, ino } = statSync(join(directory, fd));
        return dev === file.dev && ino === file.ino;
      } catch (error) {
        if (error.code !== 'ENOENT') throw error;
        return false; // Closed since the directory was read.
      }
    });
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH' || error.code === 'EACCES') return false;
    throw error;
  }
}

/** True if the daemon reports that it is healthy. */
export async function answers() {
  try {
    const answer = await callApi('GET', '/healthz');
    return answer.status === 200;
  } catch (error) {
    if (['ECONNREFUSED', 'ENOENT', 'ECONNRESET'].includes(error.code)) return false;
    throw error;
  }
}

/** Waits until this daemon has ended. Throws a Failure after a timeout. */
export async function untilEnded(home, pid) {
  const deadlineMs = performance.now() + STOP_TIMEOUT_MS;
  while (findDaemon(home)?.pid === pid) {
    if (performance.now() > deadlineMs) {
      throw new Failure(
        `The daemon (pid ${pid}) did not end within ${STOP_TIMEOUT_MS / 1000} s: look at ${daemonFiles(home).log}.`,
      );
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/** Sends one request to the daemon's API: { status, body }, the body parsed if it is JSON. */
export function callApi(method, path, body) {
  const key = process.env.VOLANT_API_KEY;
  const headers = {
    ...(key ? { 'X-Volant-API-Key': key } : {}),
    ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
  };
  return callHttp(
    { ...apiTarget(), ...tlsOptions(), method, path, headers },
    body && JSON.stringify(body),
  );
}

/**
 * TLS options that accept exactly the certificate of the daemon's settings, whatever its name or authority is. The
 * connection goes to an address of this host.
 */
function tlsOptions() {
  const certificate = process.env.VOLANT_TLS_CERT?.trim();
  if (!certificate) return {};
  const own = new X509Certificate(readFileSync(certificate));
  const other = new Error('another certificate than that of VOLANT_TLS_CERT answers');
  return {
    ca: own.toString(),
    allowPartialTrustChain: true,
    checkServerIdentity: (_host, { fingerprint256 }) =>
      fingerprint256 === own.fingerprint256 ? undefined : other,
  };
}

function apiTarget() {
  const address = listenAddress();
  if (address?.host === '0.0.0.0') return { ...address, host: '127.0.0.1' };
  if (address?.host === '::') return { ...address, host: '::1' };
  return address;
}

/** The address of the API in the form that a person types after curl. */
export function curlTarget() {
  const { socketPath, host, port } = apiTarget();
  const key = process.env.VOLANT_API_KEY ? '-H "X-Volant-API-Key: $VOLANT_API_KEY" ' : '';
  if (socketPath !== undefined) return `${key}--unix-socket ${socketPath} http://volant`;
  const certificate = process.env.VOLANT_TLS_CERT?.trim();
  const scheme = certificate ? `--cacert ${certificate} https` : 'http';
  return `${key}${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

export function callHttp(options, body, timeoutMs = REQUEST_TIMEOUT_MS) {
  return new Promise((resolve, reject) => {
    const send = options.ca === undefined ? request : requestTls;
    const call = send({ ...options, agent: false, timeout: timeoutMs }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const isJson = response.headers['content-type']?.startsWith('application/json');
        resolve({ status: response.statusCode, body: isJson && text ? JSON.parse(text) : text });
      });
    });
    call.on('timeout', () => call.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    call.on('error', reject);
    call.end(body);
  });
}

/** The body of the answer. Throws a Failure with the error of the API. */
export async function expectApi(method, path, body) {
  const answer = await callApi(method, path, body);
  if (answer.status < 300) return answer.body;
  if (answer.status === 401 && !process.env.VOLANT_API_KEY) throw lacksKey();
  throw new Failure(
    `${method} ${path} got the answer ${answer.status}: ${answer.body?.error ?? answer.body}`,
  );
}

/**
 * A Failure for a missing key. These scripts send VOLANT_API_KEY, and a daemon that they start accepts it as a key, too.
 */
function lacksKey() {
  const home = homeDirectory();
  const file = process.env.VOLANT_API_KEYS_FILE || join(home, 'keys.json');
  const why = existsSync(file) ? `: there is a file of keys, ${file}` : '';
  return new Failure(
    `The API of the daemon needs a key${why}, and VOLANT_API_KEY is not set. Set it here to a key of your own, such as \`export VOLANT_API_KEY=$(openssl rand -hex 32)\`: the daemon accepts it in addition to those of the file after a restart. Run \`${userCommand('down')}\`, then this command again; VMs continue to run.`,
  );
}
