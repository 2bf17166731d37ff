// cli: `volar top`: rates are differences of counters, and the screen gives the terminal back as it was.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { runCli } from '../../src/cli/program.ts';
import { byName } from '../../src/cli/terminal/natural-order.ts';
import { hostCpuPercent, sortUsage, usageOf } from '../../src/cli/top/usage.ts';
import type { SystemLoad, VmStats } from '../../src/client/types.ts';
import { volar } from './volar.ts';

interface Counted {
  readonly atSeconds: number;
  readonly cpuSeconds: number;
  readonly sentBytes?: number;
  readonly uptimeSeconds?: number;
}

function stats(name: string, { atSeconds, cpuSeconds, ...more }: Counted): VmStats {
  const { sentBytes, uptimeSeconds = atSeconds } = more;
  const received = { received_bytes: 0, received_packets: 0, received_dropped: 0 };
  return {
    name,
    running: true,
    sampled_at: new Date(atSeconds * 1000).toISOString(),
    uptime_seconds: uptimeSeconds,
    cpu: { vcpus: 2, user_seconds: cpuSeconds, system_seconds: 0 },
    memory: { guest_bytes: 2 ** 27, resident_bytes: 2 ** 26 },
    cgroup: null,
    network:
      sentBytes === undefined
        ? null
        : { ...received, sent_bytes: sentBytes, sent_packets: 1, sent_dropped: 0 },
    disks: [],
    missing: {},
  };
}

function load(busySeconds: number, idleSeconds: number): SystemLoad {
  const none = { iowait_seconds: 0, steal_seconds: 0, system_seconds: 0 };
  return {
    sampled_at: '2026-01-01T00:00:00.000Z',
    cpu: { cores: 2, user_seconds: busySeconds, idle_seconds: idleSeconds, ...none },
    memory: {
      total_bytes: 2 ** 33,
      available_bytes: 2 ** 32,
      swap_total_bytes: 0,
      swap_free_bytes: 0,
    },
    load_average: { one_minute: 1.5, five_minutes: 1, fifteen_minutes: 1 },
    daemon: {
      uptime_seconds: 1,
      user_seconds: 1,
      system_seconds: 1,
      resident_bytes: 1,
      heap_bytes: 1,
      event_loop_delay_ms: { mean: 0, p99: 0, max: 0 },
    },
    queues: [],
  };
}

test('rates are those of one launch, between two moments', () => {
  const before = [
    stats('a', { atSeconds: 10, cpuSeconds: 5, sentBytes: 1000 }),
    stats('b', { atSeconds: 10, cpuSeconds: 5 }),
    stats('c', { atSeconds: 12, cpuSeconds: 5 }),
  ];
  const after = [
    stats('a', { atSeconds: 12, cpuSeconds: 8, sentBytes: 5096 }),
    stats('b', { atSeconds: 12, cpuSeconds: 1, uptimeSeconds: 1 }),
    stats('c', { atSeconds: 12, cpuSeconds: 5 }),
    stats('d', { atSeconds: 12, cpuSeconds: 1 }),
  ];
  const usage = usageOf(before, after);
  const rates = usage.map(({ name, cpu_percent, sent_bytes_per_second: sent }) => [
    name,
    cpu_percent,
    sent,
  ]);
  assert.deepEqual(rates, [
    ['a', 150, 2048],
    ['b', null, null],
    ['c', null, null],
    ['d', null, null],
  ]);
  assert.equal(usage[0]?.read_bytes_per_second, 0, 'no disk reads nothing');
});

test('rows are sorted by what is used most, and what is unknown comes last', () => {
  const usage = usageOf(
    ['vm-1', 'vm-2', 'vm-10'].map((name) => stats(name, { atSeconds: 1, cpuSeconds: 1 })),
    [
      stats('vm-10', { atSeconds: 2, cpuSeconds: 1.1 }),
      stats('vm-2', { atSeconds: 2, cpuSeconds: 1.9 }),
      stats('vm-1', { atSeconds: 1, cpuSeconds: 1 }),
    ],
  );
  const names = (order: 'cpu' | 'name' | 'memory') =>
    sortUsage(usage, order, byName).map(({ name }) => name);
  assert.deepEqual(names('cpu'), ['vm-2', 'vm-10', 'vm-1']);
  assert.deepEqual(names('name'), ['vm-1', 'vm-2', 'vm-10']);
  assert.deepEqual(names('memory'), ['vm-1', 'vm-2', 'vm-10']);
  assert.equal(hostCpuPercent(load(10, 10), load(13, 11)), 75);
  assert.equal(hostCpuPercent(load(10, 10), load(10, 10)), null);
});

/** A daemon of two VMs, of which `web` is busy. Each reading is of a second later. */
async function serveFigures(t: TestContext) {
  let readings = 0;
  let isUp = true;
  const server = createServer((request, response) => {
    if (!isUp) return void request.socket.destroy();
    const isLoad = request.url === '/api/v1/system/load';
    if (isLoad) readings += 1;
    const counted = (cpuSeconds: number) => ({ atSeconds: readings, cpuSeconds, sentBytes: 0 });
    const vms = [stats('db', counted(0)), stats('web', counted(readings))];
    const offset = Number(new URL(request.url ?? '', 'http://x').searchParams.get('offset'));
    // Pages of one.
    const body = isLoad ? load(readings, readings) : vms.slice(offset, offset + 1);
    response.writeHead(200, { 'content-type': 'application/json', 'x-total-count': '2' });
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const setUp = (up: boolean) => {
    isUp = up;
  };
  return { url: `http://127.0.0.1:${port}`, setUp };
}

test('once: a table for people, rows for programs, and no screen where there is no terminal', async (t) => {
  const { url } = await serveFigures(t);
  const words = ['top', '--interval', '1s'];
  const table = await volar(t, url, [...words, '--once']);
  assert.equal(table.status, 0, table.stderr);
  assert.match(table.stdout, /^2 VMs run, CPU 50\.0 % of 2 cores, memory 4\.0 GiB of 8\.0 GiB/);
  assert.match(table.stdout, /\nNAME +CPU .*\nweb +100\.0 % +2 +64\.0 MiB .*\ndb +0\.0 %/);
  const piped = await volar(t, url, words);
  assert.equal(piped.stdout.includes('\x1b'), false);
  const rows = await volar(t, url, [...words, '--once', '--json']);
  const [first, second] = JSON.parse(rows.stdout);
  assert.deepEqual([first.name, first.cpu_percent, second.name], ['web', 100, 'db']);
  const short = await volar(t, url, ['top', '--interval', '10ms']);
  assert.equal(short.status, 2, short.stderr);
});

test('on a terminal it is drawn again, sorted by keys, and q gives the terminal back', async (t) => {
  const { url, setUp } = await serveFigures(t);
  const raw: boolean[] = [];
  const stdin = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (on: boolean) => void raw.push(on),
  });
  const stdout = Object.assign(new PassThrough(), { isTTY: true, columns: 80, rows: 10 });
  let text = '';
  stdout.on('data', (chunk) => {
    text += chunk;
  });
  const streams = { stdin, stdout, stderr: new PassThrough() };
  const ended = runCli(['top', '--interval', '1s'], streams, { VOLANT_API_BASE: url });
  const shows = async (pattern: RegExp) => {
    while (!pattern.test(text)) await new Promise((resolve) => setTimeout(resolve, 10));
    text = '';
  };
  await shows(/web +100\.0 %[\s\S]*db +0\.0 %/);
  stdin.write('a');
  await shows(/by name;[\s\S]*db [\s\S]*web /);
  setUp(false);
  await shows(/The daemon does not answer/);
  setUp(true);
  await shows(/2 VMs run/);
  stdin.write('q');
  assert.equal(await ended, 0);
  assert.ok(text.endsWith('\x1b[?25h\x1b[?1049l'), text);
  assert.deepEqual(raw, [true, false]);
});
