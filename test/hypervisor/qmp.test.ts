// What the engine relies on in a control connection, against the simulator, against a real QEMU, and
// against sockets that behave badly.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { connectQmp } from '../../src/hypervisor/qmp.ts';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-qmp-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function started(t: TestContext, command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

const soon = () => AbortSignal.timeout(10_000);

function simulator(t: TestContext, directory: string, ...more: string[]): ChildProcess {
  const binary = join(PROJECT_ROOT, 'build/simulator/simulator');
  return started(t, binary, ['--run-directory', directory, '--name', 'sim', ...more]);
}

/** A socket on which every client gets what `greet` writes. */
async function badSocket(t: TestContext, greet: (client: Socket) => void): Promise<string> {
  const path = join(temporary(t), 'control.sock');
  const clients = new Set<Socket>();
  const server = createServer((client) => {
    clients.add(client);
    client.on('error', () => undefined);
    greet(client);
  }).listen(path);
  await once(server, 'listening');
  t.after(() => {
    for (const client of clients) client.destroy();
    server.close();
  });
  return path;
}

suite('control connection', () => {
  test('waits for a socket that is not there yet, and hears how the guest ended', async (t) => {
    const directory = temporary(t);
    const connecting = connectQmp(join(directory, 'control.sock'), soon());
    const child = simulator(t, directory);
    const control = await connecting;
    assert.equal(await control.status(), 'running');
    assert.equal(control.guestEnd, undefined);
    await control.powerButton();
    await Promise.all([once(child, 'exit'), control.ended]);
    assert.equal(control.guestEnd, 'power-off');
    assert.equal(existsSync(join(directory, 'hypervisor.pid')), false, 'an orderly end');
  });

  test('serves one client after the other', async (t) => {
    const directory = temporary(t);
    simulator(t, directory);
    for (let round = 0; round < 3; round += 1) {
      const control = await connectQmp(join(directory, 'control.sock'), soon());
      assert.equal(await control.status(), 'running');
      control.close();
      await control.ended;
    }
  });

  test('recognises a kill by its silence', async (t) => {
    const directory = temporary(t);
    const child = simulator(t, directory);
    const control = await connectQmp(join(directory, 'control.sock'), soon());
    child.kill('SIGKILL');
    await control.ended;
    assert.equal(control.guestEnd, undefined);
    assert.equal(existsSync(join(directory, 'hypervisor.pid')), true, 'no orderly end');
    await assert.rejects(control.status());
  });

  test('works with a real QEMU', async (t) => {
    if (!requireCapability(t, 'qemu')) return;
    const directory = temporary(t);
    const path = join(directory, 'control.sock');
    const machine = [
      '-M',
      'microvm',
      '-nodefaults',
      '-no-user-config',
      '-nographic',
      '-m',
      '8',
      '-S',
    ];
    const monitor = [
      '-chardev',
      `socket,id=c,path=${path},server=on,wait=off`,
      '-mon',
      'chardev=c,mode=control',
    ];
    const child = started(t, 'qemu-system-x86_64', [...machine, ...monitor]);
    const control = await connectQmp(path, soon());
    assert.equal(await control.status(), 'prelaunch');
    child.kill('SIGTERM');
    await control.ended;
    assert.equal(control.guestEnd, 'host-request');
  });

  test('waits for a hypervisor that greets long before it is ready, and for one that comes after', async (t) => {
    let clients = 0;
    const path = await badSocket(t, (client) => {
      clients += 1;
      client.write('{"QMP": {}}\n');
      // The first one dies before it is ready.
      if (clients === 1) client.once('data', () => client.destroy());
      else
        client.once('data', () => setTimeout(() => client.write('{"return": {}, "id": 1}\n'), 50));
    });
    const control = await connectQmp(path, soon());
    assert.equal(clients, 2);
    control.close();
  });

  test('reports a guest that was paused for lack of space, and lets it continue', async (t) => {
    const asked: string[] = [];
    const path = await badSocket(t, (client) => {
      client.write('{"QMP": {}}\n');
      client.on('data', (text) => {
        const { execute, id } = JSON.parse(String(text));
        asked.push(execute);
        client.write(`${JSON.stringify({ return: {}, id })}\n`);
        if (execute !== 'query-status') return;
        for (const nospace of [false, true]) {
          const data = { device: 'disk0', operation: 'write', action: 'stop', nospace };
          client.write(`${JSON.stringify({ event: 'BLOCK_IO_ERROR', data })}\n`);
        }
      });
    });
    const control = await connectQmp(path, soon());
    let told = 0;
    const isFull = new Promise<void>((resolve) =>
      control.onDiskFull(() => {
        told += 1;
        resolve();
      }),
    );
    await control.status();
    await isFull;
    await control.resume();
    assert.equal(told, 1, 'another error is not a lack of space');
    assert.deepEqual(asked, ['qmp_capabilities', 'query-status', 'cont']);
    control.close();
  });

  test('writes no more than a bound for a hypervisor that is frozen', async (t) => {
    const path = await badSocket(t, (client) => {
      client.write('{"QMP": {}}\n');
      client.once('data', () => {
        client.write('{"return": {}, "id": 1}\n');
        client.pause();
      });
    });
    const control = await connectQmp(path, soon());
    const atOnce = { refused: 0 };
    const asked = Array.from({ length: 3000 }, () =>
      control.status().catch(() => {
        atOnce.refused += 1;
      }),
    );
    await pause(100);
    assert.ok(atOnce.refused > 1000, `${atOnce.refused} were refused before their time was over`);
    control.close();
    await Promise.all(asked);
  });

  test('gives up on a mute socket on request', async (t) => {
    const path = await badSocket(t, () => undefined);
    await assert.rejects(connectQmp(path, AbortSignal.timeout(100)));
  });

  for (const [what, bytes] of [
    ['garbage', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['a line without end', 'x'.repeat(1024 * 1024)],
    ['JSON that is no object', '17\n'],
  ] as const) {
    test(`refuses ${what}`, async (t) => {
      const path = await badSocket(t, (client) => void client.write(bytes));
      await assert.rejects(connectQmp(path, soon()), { code: 'HYPERVISOR_TIMEOUT' });
    });
  }
});
