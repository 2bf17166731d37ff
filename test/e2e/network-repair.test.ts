// e2e: changes of the guests' network by hand are repaired without a restart of the daemon, and reported.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { askGuest, type Daemon, startDaemon } from './daemon.ts';

const EVENT_TIMEOUT_MS = 30_000;
const BRIDGE = 'vbr0';
const HOST_ADDRESS = '192.168.127.1';

const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8' });
const nft = (...args: string[]) => execFileSync('nft', args, { encoding: 'utf8' });

interface Told {
  readonly sequence: number;
  readonly type: string;
  readonly name: string;
  readonly message: string;
}

/** All that was told of the network so far, after an event. */
async function toldAfter(daemon: Daemon, sequence: number): Promise<Told[]> {
  const types = 'HOST_DRIFT,VM_REPAIRED,VM_DEGRADED';
  const url = `${daemon.url}/api/v1/events?after=${sequence}&type=${types}`;
  const found: Told[] = [];
  let text = '';
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(300) });
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
  } catch (error) {
    // The stream has no end of its own.
    if ((error as Error).name !== 'TimeoutError') throw error;
  }
  for (const [, id, data] of text.matchAll(/^id: (\d+)\n(?:event: .*\n)?data: (.*)\n/gm)) {
    found.push({ sequence: Number(id), ...JSON.parse(data ?? '') });
  }
  return found;
}

async function untilTold(daemon: Daemon, after: number, ...patterns: RegExp[]): Promise<Told[]> {
  const deadline = Date.now() + EVENT_TIMEOUT_MS;
  for (;;) {
    const told = await toldAfter(daemon, after);
    const isTold = (pattern: RegExp) =>
      told.some(({ type, name, message }) => pattern.test(`${type} ${name} ${message}`));
    if (patterns.every(isTold)) return told;
    if (Date.now() > deadline) {
      throw new Error(`not told: ${patterns}; ${JSON.stringify(told)}\n${daemon.log()}`);
    }
    await pause(50);
  }
}

const tableOf = () => /volant_[0-9a-f]{4}/.exec(nft('list', 'tables'))?.[0] ?? '';

interface Damage {
  readonly what: string;
  readonly make: (tap: string) => void;
  readonly told: readonly RegExp[];
}

const TABLE = tableOf;
const DAMAGES: readonly Damage[] = [
  {
    what: 'the bridge is removed',
    make: () => ip('link', 'delete', BRIDGE),
    // On a busy host the first attempt may fail, or come in the middle; then the next one repairs it.
    told: [/^HOST_DRIFT vbr0 (Bridge vbr0 was gone|The bridge had lost)/, /^VM_REPAIRED web /],
  },
  {
    what: 'the tap is taken off its bridge',
    make: (tap) => ip('link', 'set', tap, 'nomaster'),
    told: [/^VM_REPAIRED web .* taken off its bridge: it was put back/],
  },
  {
    what: 'the tap is down',
    make: (tap) => ip('link', 'set', tap, 'down'),
    told: [/^VM_REPAIRED web .* was down: it is up again/],
  },
  {
    what: 'the bridge is down',
    make: () => ip('link', 'set', BRIDGE, 'down'),
    told: [/^HOST_DRIFT vbr0 Bridge vbr0 was down: it is up again/],
  },
  {
    what: 'the address of the bridge is removed',
    make: () => ip('address', 'delete', `${HOST_ADDRESS}/24`, 'dev', BRIDGE),
    told: [/^HOST_DRIFT vbr0 The bridge had lost its address 192.168.127.1\/24/],
  },
  {
    what: 'the NAT table is removed',
    make: () => nft('delete', 'table', 'ip', TABLE()),
    told: [/^HOST_DRIFT vbr0 The rules for NAT were gone/],
  },
  {
    what: 'a rule of the NAT table is removed',
    make: () => nft('flush', 'chain', 'ip', TABLE(), 'postrouting'),
    told: [/^HOST_DRIFT vbr0 The rules for NAT were changed/],
  },
  {
    what: 'the filter is removed',
    make: () => nft('delete', 'table', 'bridge', TABLE()),
    told: [/^HOST_DRIFT vbr0 The filter for guests was gone/],
  },
  {
    what: 'the table of host ports is removed',
    make: () => nft('delete', 'table', 'ip', `${TABLE()}_ports`),
    told: [/^HOST_DRIFT vbr0 The rules for host ports were gone/],
  },
];

const HOST_PORT = 18_240;

async function assertReached(daemon: Daemon, what: string): Promise<void> {
  const { ip_address: address } = await daemon.getVm('web');
  assert.match(await askGuest(address, '/v1/'), /"name": "web"/, what);
  assert.match(nft('list', 'table', 'ip', TABLE()), /masquerade/, what);
  assert.match(nft('list', 'table', 'bridge', TABLE()), new RegExp(`${address} `), what);
  assert.match(nft('list', 'table', 'ip', `${TABLE()}_ports`), new RegExp(`${HOST_PORT}`), what);
}

test('a running guest gets back what is removed of its network', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const expose = [{ port: 8080, host_port: HOST_PORT }];
  const vm = await daemon.createVm('web', { config: { expose } });
  await askGuest(vm.ip_address, '/v1/');
  const [tap = ''] = daemon.taps();
  let last = 0;
  for (const { what, make, told } of DAMAGES) {
    make(tap);
    const startedMs = performance.now();
    const news = await untilTold(daemon, last, ...told);
    t.diagnostic(`${what}: told after ${Math.round(performance.now() - startedMs)} ms`);
    await assertReached(daemon, what);
    last = Math.max(...news.map(({ sequence }) => sequence));
  }
  assert.equal((await daemon.getVm('web')).pid, vm.pid, 'it ran on');

  ip('link', 'delete', tap);
  await untilTold(daemon, last, /^VM_DEGRADED web .* deleted on the host: restart the VM/);
  const wrongIn = async () => (await daemon.getVm('web')).conditions.filter((one) => !one.status);
  const [wrong] = await wrongIn();
  assert.equal(wrong?.type, 'NetworkInLine');
  assert.match(wrong?.message ?? '', /restart the VM/);
  await daemon.call('POST', '/api/v1/vms/web/restart');
  await assertReached(daemon, 'the VM was restarted');
  assert.deepEqual(await wrongIn(), []);
  assert.equal(await daemon.terminate(), 0);
});

/** Taps whose frames the filter lets pass. */
function passing(): string[] {
  const list = JSON.parse(nft('-j', 'list', 'set', 'bridge', TABLE(), 'guests')) as {
    nftables: { set?: { elem?: { concat: string[] }[] } }[];
  };
  const entries = list.nftables.flatMap(({ set }) => set?.elem ?? []);
  return entries.map(({ concat }) => concat[0] ?? '').sort();
}

async function assertFilterIsRight(daemon: Daemon): Promise<void> {
  assert.deepEqual(passing(), [...daemon.taps()].sort());
  const told = await toldAfter(daemon, 0);
  assert.deepEqual(told, [], 'nothing had to be put right');
}

/** Repeatedly until the daemon listens. */
async function createSoon(daemon: Daemon, name: string): Promise<void> {
  for (;;) {
    try {
      await daemon.createVm(name);
      return;
    } catch (error) {
      if ((error as Error).message !== 'fetch failed') throw error;
      await pause(2);
    }
  }
}

async function settled(daemon: Daemon): Promise<void> {
  const onTheirWay = '/api/v1/vms?status=deleting,starting,stopping';
  while ((await daemon.call('GET', onTheirWay)).text !== '[]') await pause(20);
}

const createSimulated = (t: TestContext) => startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });

test('a request during recovery costs no guest its network', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await createSimulated(t);
  for (let round = 0; round < 6; round += 1) {
    const creates = Array.from({ length: 16 }, (_, index) =>
      daemon.createVm(`cut-${round}-${index}`),
    );
    const ended = Promise.allSettled(creates);
    await pause(30 + round * 30);
    await daemon.kill('SIGKILL');
    await ended;
    const asked = createSoon(daemon, `early-${round}`);
    await Promise.all([daemon.start(), asked]);
    await settled(daemon);
    await assertFilterIsRight(daemon);
  }
});

test('kills while guests stop leave nothing of them in the filter', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await createSimulated(t);
  for (let round = 0; round < 8; round += 1) {
    const names = Array.from({ length: 12 }, (_, index) => `vm-${round}-${index}`);
    await Promise.all(names.map((name) => daemon.createVm(name)));
    const ends = names.map((name, index) =>
      index % 3 === 0
        ? daemon.call('POST', `/api/v1/vms/${name}/stop`)
        : index % 3 === 1
          ? daemon.call('DELETE', `/api/v1/vms/${name}`)
          : undefined,
    );
    const ended = Promise.allSettled(ends);
    await pause(10 + round * 25);
    await daemon.kill('SIGKILL');
    await ended;
    const asked = createSoon(daemon, `early-${round}`);
    await Promise.all([daemon.start(), asked]);
    await settled(daemon);
    await assertFilterIsRight(daemon);
  }
});
