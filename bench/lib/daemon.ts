// bench: a daemon to measure, in a process of its own and on a home of its own.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
export const IMAGES = join(ROOT, 'build/images');

const START_TIMEOUT_MS = 30_000;

export interface BenchDaemon {
  readonly port: number;
  readonly home: string;
  call(method: string, path: string, body?: object): Promise<{ status: number; text: string }>;
  stop(): Promise<void>;
}

/** The server closes a connection that was idle for ten seconds. */
const IDLE_MS = 5_000;

let nextPort = 21_000;

export async function startDaemon(settings: Record<string, string>): Promise<BenchDaemon> {
  const home = mkdtempSync(join(tmpdir(), 'volant-bench-'));
  mkdirSync(join(home, 'images'));
  symlinkSync(join(IMAGES, 'hello.cpio'), join(home, 'images/hello.cpio'));
  const port = nextPort++;
  const env = {
    ...process.env,
    VOLANT_HOME: home,
    VOLANT_API_LISTEN: `127.0.0.1:${port}`,
    VOLANT_KERNEL_VMLINUX: join(IMAGES, 'vmlinux'),
    VOLANT_MEDIA_DIRS: IMAGES,
    VOLANT_LOG_FILE: join(home, 'volantd.log'),
    VOLANT_SUBNET: '10.88.0.0/16',
    VOLANT_HOST_IP: '10.88.0.1',
    ...settings,
  };
  const main = join(ROOT, 'dist/main.js');
  const child = spawn(process.execPath, [main], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const call = caller(port);
  await untilHealthy(child, call);
  return {
    port,
    home,
    call,
    stop: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
      execFileSync(process.execPath, [main, '--teardown'], { env, stdio: 'ignore' });
      rmSync(home, { recursive: true, force: true });
    },
  };
}

async function untilHealthy(child: ChildProcess, call: BenchDaemon['call']): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const answer = await call('GET', '/healthz').catch(() => null);
    if (answer?.status === 200) return;
    if (child.exitCode !== null || Date.now() > deadline) throw new Error('volantd did not start');
    await pause(20);
  }
}

/** Over kept-alive connections, as a real client's. */
function caller(port: number): BenchDaemon['call'] {
  // What is idle is closed before the server does it, which would hit the next request: daemons take turns.
  const agent = new Agent({ keepAlive: true, maxSockets: 128, timeout: IDLE_MS });
  return (method, path, body) =>
    new Promise((resolve, reject) => {
      const outgoing = request({ agent, host: '127.0.0.1', port, method, path }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        );
      });
      outgoing.on('error', reject);
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
}

/** Runs `work` for 0 to count-1, so many at a time. */
export async function inParallel(
  count: number,
  width: number,
  work: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const line = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: width }, line));
}
