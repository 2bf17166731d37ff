// What the viewer of a console relies on who comes just after others have left: a hypervisor that has not seen them go yet is
// waited for, and one that is not there is reported at once.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connectConsole } from '../../src/hypervisor/console.ts';

/** Listens with a queue of one place, and accepts nobody for a while, until the test lets it continue. */
const SLOW = `
  const server = require('node:net').createServer((socket) => socket.write('hello'));
  server.listen({ path: process.argv[1], backlog: 1 }, () => {
    require('node:fs').writeSync(1, 'listening');
    require('node:fs').readSync(0, Buffer.alloc(1));
  });
`;

function pathIn(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-console-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'serial.sock');
}

/** Connects until the queue is full. */
async function fill(t: TestContext, path: string): Promise<void> {
  for (;;) {
    const socket: Socket = connect(path);
    t.after(() => socket.destroy());
    try {
      await once(socket, 'connect');
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
      return;
    }
  }
}

test('a hypervisor that is slower than its viewers is waited for', async (t) => {
  const path = pathIn(t);
  const child = spawn(process.execPath, ['-e', SLOW, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  await fill(t, path);
  const connecting = connectConsole(path);
  setTimeout(() => child.stdin.write('x'), 200);
  const console = await connecting;
  t.after(() => console.destroy());
  assert.equal(String(await once(console, 'data')), 'hello');
});

test('a console that is not there is reported at once', async (t) => {
  await assert.rejects(connectConsole(pathIn(t)), { code: 'ENOENT' });
});
