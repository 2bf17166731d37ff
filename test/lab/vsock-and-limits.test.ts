// lab: features that most machines lack: vhost-vsock, by which the host reaches a guest without a network card, and cgroup
// version 2 with every controller, which limits a hypervisor.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import WebSocket from 'ws';
import { type Daemon, startDaemon } from '../e2e/daemon.ts';
import { installProbe } from '../e2e/probe-image.ts';
import { requireCapability } from '../helpers/capabilities.ts';

const CGROUPS = '/sys/fs/cgroup';
const MIB = 1024 ** 2;

interface Ended {
  readonly status: number | string | null;
  readonly output: string;
}

/** Resolves whatever the program's end. */
function run(file: string, args: readonly string[], input = ''): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(file, [...args], { timeout: 60_000 }, (error, stdout) => {
      resolve({
        status: error === null ? 0 : (error.code ?? error.signal ?? null),
        output: stdout,
      });
    });
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

test('vhost-vsock and cgroups in the lab', async (t) => {
  if (!requireCapability(t, 'lab')) return;
  const daemon = await startDaemon(t, { VOLANT_ACCELERATOR: 'kvm' });
  await installProbe(daemon, { actions: { echo: { method: 'POST', path: '/cgi-bin/echo' } } });
  const made = await daemon.createVm('quiet', {
    plugin: 'probe',
    config: { network: { mode: 'vsock' }, expose: [{ port: 8000, host_port: 18380 }] },
  });
  const reached = 'programs of the host reach agent, workload and actions by the CID of the API';
  await t.test(reached, () => reaches(made.vsock_cid));
  await t.test('host ports, console and actions go on as they do without', () => goesOn(daemon));
  await t.test('an address that another program has is told as such', () =>
    isTaken(daemon, made.vsock_cid + 1),
  );
  await t.test('the hypervisor has the limits of its VM', () => hasLimits(daemon));
  await t.test('processors, memory and tasks beyond the limits are refused', () => bites(daemon));
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/quiet')).status, 204);
  assert.equal(existsSync(cgroupOf(made.id)), false);
});

async function reaches(cid: number): Promise<void> {
  const ask = async (method: string, path: string, body = '') => {
    const head = `${method} ${path} HTTP/1.1\r\nHost: guest\r\nConnection: close`;
    const request = `${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    return (await run('socat', ['-t', '10', '-', `VSOCK-CONNECT:${cid}:8080`], request)).output;
  };
  let health = '';
  for (let tries = 0; tries < 300 && !health.includes('"healthy":true'); tries += 1) {
    health = await ask('GET', '/healthz');
    await pause(100);
  }
  assert.match(health, /"healthy":true/, `somebody answers at CID ${cid}`);
  assert.match(await ask('GET', '/v1/cgi-bin/hostname'), /^quiet$/m);
  assert.match(await ask('POST', '/v1/cgi-bin/echo', '{"word":"a"}'), /"got":\{"word":"a"\}/);
}

async function goesOn(daemon: Daemon): Promise<void> {
  const response = await fetch('http://127.0.0.1:18380/cgi-bin/links');
  assert.equal((await response.text()).trim(), 'lo', 'it has no network card');
  const proxied = await daemon.call('GET', '/api/v1/vms/quiet/agent/v1/cgi-bin/hostname');
  assert.equal(proxied.text.trim(), 'quiet');
  const echoed = await daemon.call('POST', '/api/v1/vms/quiet/actions/probe/echo', { word: 'a' });
  assert.deepEqual(echoed.body, { host: 'quiet', got: { word: 'a' } });
  await seesConsole(daemon);
}

async function seesConsole(daemon: Daemon): Promise<void> {
  const socket = new WebSocket(`${daemon.url.replace('http', 'ws')}/ws/v1/vms/quiet/console`);
  let seen = '';
  socket.on('message', (data) => {
    seen += `${data}`;
  });
  try {
    await once(socket, 'open');
    await daemon.call('GET', '/api/v1/vms/quiet/agent/v1/cgi-bin/console');
    for (let tries = 0; tries < 300 && !seen.includes('to-the-console'); tries += 1) {
      await pause(100);
    }
    assert.match(seen, /to-the-console/);
  } finally {
    socket.terminate();
  }
}

/** The next VM would get this address. */
async function isTaken(daemon: Daemon, cid: number): Promise<void> {
  const device = `vhost-vsock-pci,guest-cid=${cid}`;
  const paused = ['-M', 'q35', '-nodefaults', '-display', 'none', '-S', '-qmp', 'stdio'];
  const other = spawn('qemu-system-x86_64', [...paused, '-device', device], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(other, 'exit');
  try {
    // It says hello before it has its devices, and answers afterwards.
    const answered = new Promise<void>((resolve) => {
      other.stdout.on('data', (text) => String(text).includes('"return"') && resolve());
    });
    other.stdin.write('{"execute": "qmp_capabilities"}\n');
    await answered;
    const request = { name: 'late', plugin: 'probe', config: { network: { mode: 'vsock' } } };
    const refused = await daemon.call('POST', '/api/v1/vms', request);
    assert.deepEqual([refused.status, refused.body.code], [409, 'CID_TAKEN'], refused.text);
    assert.equal((await daemon.call('POST', '/api/v1/vms', request)).status, 201);
    assert.equal((await daemon.call('DELETE', '/api/v1/vms/late')).status, 204);
  } finally {
    other.kill('SIGKILL');
    await ended;
  }
}

/** The cgroup of a VM, in that of the only daemon here. */
function cgroupOf(id: number): string {
  const [daemon = ''] = readdirSync(CGROUPS).filter((name) => name.startsWith('volant-'));
  return join(CGROUPS, daemon, `vm-${id}`);
}

async function hasLimits(daemon: Daemon): Promise<void> {
  const { id, pid, memory_mb, cpu_cores } = await daemon.getVm('quiet');
  const read = (file: string) => readFileSync(join(cgroupOf(id), file), 'utf8').trim();
  // Beside it are only the kernel's own helpers of it.
  assert.ok(read('cgroup.procs').split('\n').includes(String(pid)));
  const memoryMax = Number(read('memory.max'));
  assert.ok(memoryMax >= memory_mb * MIB, 'the guest has what it was promised');
  assert.ok(Number(read('memory.current')) < memoryMax);
  assert.ok(Number(read('pids.max')) > Number(read('pids.current')));
  const [quota = 0, period = 1] = read('cpu.max').split(' ').map(Number);
  assert.ok(quota / period >= cpu_cores);
}

/** A stranger in the hypervisor's place: what it may not have it does not get, and nobody else suffers. */
async function bites(daemon: Daemon): Promise<void> {
  const { status } = await daemon.call('POST', '/api/v1/vms', {
    name: 'victim',
    plugin: 'probe',
    config: { network: { mode: 'vsock' } },
  });
  assert.equal(status, 201);
  const { id } = await daemon.getVm('victim');
  const cgroup = cgroupOf(id);
  const inside = (command: string) =>
    run('sh', ['-c', `echo $$ >${cgroup}/cgroup.procs && ${command}`]);

  // As many loops as the lab has processors: one more than the limit.
  await inside('for i in 1 2 3; do timeout 3 sh -c "while :; do :; done" & done; wait');
  assert.match(readFileSync(join(cgroup, 'cpu.stat'), 'utf8'), /^nr_throttled [1-9]/m);

  const tasksMax = Number(readFileSync(join(cgroup, 'pids.max'), 'utf8'));
  const many = await inside(
    `i=0; while [ $i -lt ${tasksMax} ]; do sleep 600 >/dev/null 2>&1 & i=$((i+1)); done; echo all`,
  );
  assert.doesNotMatch(many.output, /all/, 'a fork was refused');
  assert.match(readFileSync(join(cgroup, 'pids.events'), 'utf8'), /^max [1-9]/m);

  const { pid } = await daemon.getVm('victim');
  for (const stranger of readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').trim().split('\n')) {
    if (Number(stranger) !== pid) process.kill(Number(stranger), 'SIGKILL');
  }
  const memoryMax = Number(readFileSync(join(cgroup, 'memory.max'), 'utf8'));
  await inside(`head -c ${memoryMax * 2} /dev/zero | tail >/dev/null`);
  await daemon.waitFor('victim', 'crashed');
  // Its own cgroup is gone by now; what happened below it is counted above, too.
  assert.match(readFileSync(join(dirname(cgroup), 'memory.events'), 'utf8'), /^oom_kill [1-9]/m);
  assert.equal((await daemon.getVm('quiet')).status, 'running');
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/victim')).status, 204);
}
