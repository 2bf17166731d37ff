// test helpers: a real browser, and sites whose pages it opens. Names of sites lead to loopback by the browser's own
// rules, so nothing needs a name server.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const REPORT_TIMEOUT_MS = 180_000;
const ATTACK = readFileSync(`${PROJECT_ROOT}test/fixtures/attack.js`);
const PAGE =
  '<!doctype html><meta charset="utf-8"><body><script type="module" src="/attack.js"></script>';

/** What became of each attempt of a page: see test/fixtures/attack.js. */
export type Outcomes = Readonly<Record<string, string>>;

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly type: string;
}

export interface Site {
  readonly port: number;
  /** Everything that it was asked but pages and reports. */
  readonly requests: readonly Request[];
  /** The page that attacks, loaded under this name. */
  page(host: string, parameters: Readonly<Record<string, string>>): string;
  /** The next report of a page. Rejects after a bound. */
  report(): Promise<Outcomes>;
  close(): Promise<void>;
}

/** A site with the page that attacks. It obeys everybody: what a page can do to it, it could do to an API without a guard. */
export async function startSite(t: TestContext, port = 0): Promise<Site> {
  const requests: Request[] = [];
  const waiting: ((outcomes: Outcomes) => void)[] = [];
  const server = createServer(async (incoming, answer) => {
    const { method = '', url = '', headers } = incoming;
    const body = await textOf(incoming);
    answer.setHeader('X-Attacker', 'yes');
    if (url.startsWith('/page?')) {
      answer.setHeader('Content-Type', 'text/html').end(PAGE);
      return;
    }
    if (url === '/attack.js') {
      answer.setHeader('Content-Type', 'text/javascript').end(ATTACK);
      return;
    }
    if (url === '/report') {
      waiting.shift()?.(JSON.parse(body));
      answer.end();
      return;
    }
    requests.push({ method, path: url, type: headers['content-type'] ?? '' });
    answer.setHeader('Access-Control-Allow-Origin', headers.origin ?? '*');
    answer.setHeader('Access-Control-Allow-Credentials', 'true');
    answer.setHeader('Access-Control-Allow-Methods', '*, DELETE, PATCH');
    answer.setHeader('Access-Control-Allow-Headers', 'content-type, x-http-method-override');
    answer.end('obeyed');
  });
  server.on('upgrade', ({ method = '', url = '' }, socket) => {
    requests.push({ method, path: url, type: 'websocket' });
    socket.destroy();
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => closeServer(server));
  const at = (server.address() as AddressInfo).port;
  return {
    port: at,
    requests,
    page: (host, parameters) =>
      `http://${host}:${at}/page?${new URLSearchParams({ report: `http://127.0.0.1:${at}/report`, ...parameters })}`,
    report: () =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(reject, REPORT_TIMEOUT_MS, new Error('the page reports nothing'));
        waiting.push((outcomes) => {
          clearTimeout(timer);
          resolve(outcomes);
        });
      }),
    close: () => closeServer(server),
  };
}

async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  if (server.listening) await new Promise((resolve) => server.close(resolve));
}

async function textOf(incoming: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of incoming) text += chunk;
  return text;
}

/** Opens a page in a browser of its own, which ends with the test, or by the function that is given out. */
export function openPage(t: TestContext, url: string): () => Promise<void> {
  const profile = mkdtempSync(join(tmpdir(), 'volant-browser-'));
  const browser = spawn(
    '/usr/bin/chromium',
    [
      '--headless=new',
      // The tests run as root, which chromium's sandbox refuses. Its pages are ours.
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--disable-breakpad',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-extensions',
      '--no-first-run',
      '--no-proxy-server',
      `--user-data-dir=${profile}`,
      '--host-resolver-rules=MAP *.example 127.0.0.1',
      url,
    ],
    // A group of its own: its processes are ended together.
    {
      stdio: 'ignore',
      detached: true,
      env: { PATH: process.env['PATH'], HOME: profile, TMPDIR: profile, XDG_RUNTIME_DIR: profile },
    },
  );
  const exited = once(browser, 'exit');
  let isClosed = false;
  const close = async () => {
    if (isClosed) return;
    isClosed = true;
    endGroup(browser.pid);
    await exited;
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  };
  t.after(close);
  return close;
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
