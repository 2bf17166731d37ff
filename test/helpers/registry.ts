// test helper: a registry of container images on loopback: Debian's docker-registry, with TLS and a password if wanted. It
// serves what the test has pushed, and records what it was asked.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from './free-port.ts';

const USER = 'somebody';
const PASSWORD = 'secret';
/** Of PASSWORD, by bcrypt, which is the only form that the registry takes. */
const HASH = '$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a';
const START_TIMEOUT_MS = 30_000;

export interface Registry {
  /** 127.0.0.1:port */
  readonly host: string;
  readonly caFile: string;
  /** Credentials that may pull and push. */
  readonly authFile: string;
  /** Copies an image of a layout or an archive into it. */
  push(source: string, name: string): void;
  /** Requests so far: GET /v2/… */
  readonly requests: readonly string[];
  stop(): Promise<void>;
}

export async function startRegistry(
  t: TestContext,
  { tls = false, auth = false }: { tls?: boolean; auth?: boolean } = {},
): Promise<Registry> {
  const home = mkdtempSync(join(tmpdir(), 'volant-registry-'));
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const caFile = join(home, 'ca.crt');
  const authFile = join(home, 'auth.json');
  if (tls) makeCertificates(home);
  const account = Buffer.from(`${USER}:${PASSWORD}`).toString('base64');
  writeFileSync(authFile, JSON.stringify({ auths: auth ? { [host]: { auth: account } } : {} }));
  writeFileSync(join(home, 'htpasswd'), `${USER}:${HASH}\n`);
  mkdirSync(join(home, 'certs'));
  if (tls) execFileSync('cp', [caFile, join(home, 'certs/ca.crt')]);
  writeFileSync(join(home, 'config.yml'), configOf(home, host, tls, auth));
  const child = spawn('docker-registry', ['serve', join(home, 'config.yml')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const requests: string[] = [];
  let log = '';
  const take = (chunk: Buffer) => {
    log += chunk;
    const lines = log.split('\n');
    log = lines.pop() ?? '';
    for (const line of lines) {
      const [, request] = /"((?:GET|HEAD|PUT|POST|PATCH) \S+) HTTP/.exec(line) ?? [];
      if (request !== undefined) requests.push(request);
    }
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  t.after(async () => {
    await stop();
    rmSync(home, { recursive: true, force: true });
  });
  await untilListening(port);
  return {
    host,
    caFile,
    authFile,
    requests,
    stop,
    push: (source, name) => {
      const trust = tls ? ['--dest-cert-dir', join(home, 'certs')] : ['--dest-tls-verify=false'];
      const to = `docker://${host}/${name}`;
      const flags = ['copy', '--quiet', '--all', '--authfile', authFile, ...trust];
      execFileSync('skopeo', ['--insecure-policy', ...flags, source, to], { stdio: 'pipe' });
    },
  };
}

function configOf(home: string, host: string, tls: boolean, auth: boolean): string {
  const secure = `  tls:\n    certificate: ${home}/server.crt\n    key: ${home}/server.key\n`;
  const closed = `auth:\n  htpasswd:\n    realm: test\n    path: ${home}/htpasswd\n`;
  return [
    'version: 0.1\n',
    'log:\n  level: error\n',
    `storage:\n  filesystem:\n    rootdirectory: ${home}/data\n`,
    `http:\n  addr: ${host}\n${tls ? secure : ''}`,
    auth ? closed : '',
  ].join('');
}

/** An authority of the test's own, and a certificate for 127.0.0.1 by it. */
function makeCertificates(home: string): void {
  const run = (...args: string[]) => execFileSync('openssl', args, { cwd: home, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  run(
    'req',
    '-x509',
    ...key,
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
    '-days',
    '2',
    '-subj',
    '/CN=test',
  );
  run('req', ...key, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=registry');
  writeFileSync(join(home, 'extensions'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  const by = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'];
  run('x509', '-req', '-in', 'server.csr', '-out', 'server.crt', ...by, '-extfile', 'extensions');
}

async function untilListening(port: number): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      // Any answer will do, that of a server with TLS as well.
      await fetch(`http://127.0.0.1:${port}/v2/`, { signal: AbortSignal.timeout(1_000) });
      return;
    } catch (error) {
      if (Date.now() > deadline) throw new Error('the registry does not start', { cause: error });
      await pause(50);
    }
  }
}
