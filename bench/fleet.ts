// bench: fleets: very many VMs at once, created, listed, streamed and destroyed. Prints counts, rates, the memory of each
// and what ends first. Figures here have no bound: they say what this machine holds.

import { readdirSync, readFileSync } from 'node:fs';
import { get } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { type BenchDaemon, createVms, deleteVms, SIMULATED, startDaemon } from './lib/daemon.ts';
import { type Capacity, type FleetReport, limitText } from './lib/fleet-report.ts';
import { untilAnswered } from './lib/guest.ts';
import { exactCpuSecondsOf, memoryOf } from './lib/machine.ts';
import { quantile } from './lib/statistics.ts';

const MEBIBYTE = 2 ** 20;
const WIDTH = 64;
const PAGE = 100;
const ADDRESSES_BITS = 18;
const NETWORK = { VOLANT_SUBNET: `10.88.0.0/${32 - ADDRESSES_BITS}`, VOLANT_HOST_IP: '10.88.0.1' };
/** The daemon's own bound, see docs/limits.md. */
const VMS_MAX = 100_000;
const EVENTS_TIMEOUT_MS = 30_000;

/** Simulated VMs: real processes, taps and records, no guests. Throws when one of them cannot be made or is left. */
export async function simulatedFleet(count: number): Promise<FleetReport> {
  const daemon = await startDaemon({ ...SIMULATED, ...NETWORK });
  const events = countEvents(daemon.port);
  try {
    const before = { memory: memoryOf(daemon.pid), files: openFiles(daemon.pid) };
    const createRate = await createVms(daemon, count, WIDTH, 'fleet');
    const vms = await listAll(daemon);
    if (vms.length !== count) throw new Error(`${vms.length} VMs are listed, not ${count}`);
    const list = await listing(daemon, count);
    const pids = vms.map(({ pid }) => pid);
    const hypervisors = pids.reduce((sum, pid) => sum + memoryOf(pid), 0);
    const ownMemory = memoryOf(daemon.pid) - before.memory;
    const files = openFiles(daemon.pid) - before.files;
    const capacities = capacitiesOf(daemon.pid, count, hypervisors + ownMemory, files);
    const deleteRate = await deleteVms(daemon, count, WIDTH, 'fleet');
    await untilCounted(events, count);
    const left = pids.filter(isAlive).length;
    if (left > 0) throw new Error(`${left} processes are left`);
    return {
      title: `${count} simulated VMs`,
      figures: [
        { what: 'created, 64 at a time', value: createRate, unit: 'VMs/s' },
        { what: 'listed, pages of 100', value: list.pages, unit: 'pages/s' },
        { what: 'longest page', value: list.longestMs, unit: 'ms' },
        { what: 'events of VMs on the stream', value: events.all(), unit: '' },
        { what: 'of them VM_RUNNING', value: events.of('VM_RUNNING'), unit: '' },
        { what: 'of them VM_DELETED', value: events.of('VM_DELETED'), unit: '' },
        { what: 'deleted, 64 at a time', value: deleteRate, unit: 'VMs/s' },
        { what: 'memory of the daemon for each', value: ownMemory / count / 1024, unit: 'KiB' },
        { what: 'memory of each simulator', value: hypervisors / count / 1024, unit: 'KiB' },
      ],
      limit: limitText(capacities),
    };
  } finally {
    events.end();
    await daemon.stop();
  }
}

const GUEST_MB = 96;
/** The machine is left so much, or the benchmarks themselves end. */
const MEMORY_LEFT = 768 * MEBIBYTE;
/** A guest that needs longer was starved by the others. */
const ANSWER_MS = 20_000;
/** Whole periods of what a guest does each 5 and 10 s. */
const IDLE_SECONDS = 20;

/** Real guests, one after the other, until one does not fit or this number is reached. */
export async function realFleet(atMost: number): Promise<FleetReport> {
  const daemon = await startDaemon({ VOLANT_LOG_LEVEL: 'warn' });
  const pids: number[] = [];
  const seconds: number[] = [];
  const freeBefore = memoryAvailable();
  let limit = `${atMost}, which were asked for`;
  try {
    while (pids.length < atMost) {
      if (memoryAvailable() < MEMORY_LEFT) {
        limit = `memory of the host: less than ${MEMORY_LEFT / MEBIBYTE} MiB are left`;
        break;
      }
      const startedMs = performance.now();
      const body = { name: `fleet-${pids.length}`, plugin: 'hello', memory_mb: GUEST_MB };
      const { status, text } = await daemon.call('POST', '/api/v1/vms', body);
      if (status !== 201) {
        limit = `the daemon refuses the next one: ${status} ${text}`;
        break;
      }
      const vm = JSON.parse(text);
      const late = await untilAnswered(vm.ip_address, ANSWER_MS).then(
        () => null,
        (error: Error) => error.message,
      );
      if (late !== null) {
        limit = `processors: ${late} within ${ANSWER_MS / 1000} s`;
        break;
      }
      pids.push(vm.pid);
      seconds.push((performance.now() - startedMs) / 1000);
    }
    return await realReport(daemon, pids, seconds, freeBefore - memoryAvailable(), limit);
  } finally {
    await daemon.stop();
  }
}

async function realReport(
  daemon: BenchDaemon,
  pids: readonly number[],
  seconds: readonly number[],
  taken: number,
  limit: string,
): Promise<FleetReport> {
  const memory = pids.reduce((sum, pid) => sum + memoryOf(pid), 0);
  const cpu = () => pids.reduce((sum, pid) => sum + exactCpuSecondsOf(pid), 0);
  const before = cpu();
  await pause(IDLE_SECONDS * 1000);
  const idle = ((cpu() - before) * 100) / IDLE_SECONDS / Math.max(1, pids.length);
  const deleteRate = await deleteVms(daemon, pids.length, 8, 'fleet');
  return {
    title: `Real guests of ${GUEST_MB} MiB`,
    figures: [
      { what: 'run at once', value: pids.length, unit: '' },
      { what: 'create to first answer, median', value: quantile(seconds, 0.5), unit: 's' },
      { what: 'create to first answer, longest', value: quantile(seconds, 1), unit: 's' },
      { what: 'memory of each hypervisor', value: memory / pids.length / MEBIBYTE, unit: 'MiB' },
      {
        what: 'memory that the host lacks for each',
        value: taken / pids.length / MEBIBYTE,
        unit: 'MiB',
      },
      { what: 'processor time of each while idle', value: idle, unit: '% of one' },
      { what: 'deleted, 8 at a time', value: deleteRate, unit: 'VMs/s' },
    ],
    limit,
  };
}

interface EventCount {
  all(): number;
  of(type: string): number;
  end(): void;
}

function countEvents(port: number): EventCount {
  const counts = new Map<string, number>();
  let rest = '';
  const request = get({ host: '127.0.0.1', port, path: '/api/v1/events/vms' }, (answer) => {
    answer.setEncoding('utf8');
    answer.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const type = /^data: .*?"type":"([A-Z_]+)"/.exec(line)?.[1];
        if (type !== undefined) counts.set(type, (counts.get(type) ?? 0) + 1);
      }
    });
    // It is cut off by us when all is counted.
    answer.on('error', () => undefined);
  });
  request.on('error', () => undefined);
  return {
    all: () => [...counts.values()].reduce((sum, count) => sum + count, 0),
    of: (type) => counts.get(type) ?? 0,
    end: () => request.destroy(),
  };
}

async function untilCounted(events: EventCount, count: number): Promise<void> {
  const deadline = Date.now() + EVENTS_TIMEOUT_MS;
  while (events.of('VM_RUNNING') < count || events.of('VM_DELETED') < count) {
    if (Date.now() > deadline) {
      const seen = `${events.of('VM_RUNNING')} VM_RUNNING and ${events.of('VM_DELETED')} VM_DELETED`;
      throw new Error(`The stream had ${seen}, not ${count} each`);
    }
    await pause(20);
  }
}

interface Listed {
  readonly pid: number;
}

async function listAll(daemon: BenchDaemon): Promise<readonly Listed[]> {
  const body = JSON.parse(await daemon.expect(200, 'GET', '/api/v1/vms'));
  return Array.isArray(body) ? body : body.vms;
}

/** Every page once, one after the other. */
async function listing(daemon: BenchDaemon, count: number) {
  const pages = Math.ceil(count / PAGE);
  const times: number[] = [];
  for (let page = 0; page < pages; page += 1) {
    const startedMs = performance.now();
    await daemon.expect(200, 'GET', `/api/v1/vms?limit=${PAGE}&offset=${page * PAGE}&sort=name`);
    times.push(performance.now() - startedMs);
  }
  const all = times.reduce((sum, time) => sum + time, 0);
  return { pages: (pages * 1000) / all, longestMs: quantile(times, 1) };
}

/** What the host and the daemon have, divided by what each VM took of it. */
function capacitiesOf(
  pid: number,
  count: number,
  memory: number,
  files: number,
): readonly Capacity[] {
  const number = (path: string) => Number(readFileSync(path, 'utf8'));
  const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
  const filesMax = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.NaN);
  return [
    { what: 'memory', vms: count + (memoryAvailable() * count) / memory },
    { what: 'process ids (kernel.pid_max)', vms: number('/proc/sys/kernel/pid_max') },
    { what: 'threads (kernel.threads-max)', vms: number('/proc/sys/kernel/threads-max') },
    { what: 'open files of the daemon', vms: files > 0 ? (filesMax * count) / files : Infinity },
    { what: 'addresses of the subnet', vms: 2 ** ADDRESSES_BITS },
    { what: 'the bound of the daemon', vms: VMS_MAX },
  ];
}

function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function isAlive(pid: number): boolean {
  try {
    // One that has ended and was not waited for yet is gone, too.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function memoryAvailable(): number {
  const text = readFileSync('/proc/meminfo', 'utf8');
  return Number(/^MemAvailable:\s+(\d+)/m.exec(text)?.[1]) * 1024;
}
