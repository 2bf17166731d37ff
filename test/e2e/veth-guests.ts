// test helpers: guests without a machine: network namespaces whose veth is named like a tap, so that the
// rules for guests hold for them. The jobs of the workers are called directly, on a network of their own.

import {
  type ChildProcess,
  type ChildProcessByStdio,
  execFileSync,
  spawn,
  spawnSync,
} from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { NO_REGISTRIES } from '../../src/config/registries.ts';
import type { GuestIdentity, NetworkSpec } from '../../src/engine/ports/network-ports.ts';
import type { HostChanges } from '../../src/engine/records.ts';
import { endLeaseServer } from '../../src/host/jobs/network/dhcp-server.ts';
import { ensureNetwork, planNetwork, removeNetwork } from '../../src/host/jobs/network/network.ts';
import type { HostSettings } from '../../src/host/jobs/protocol.ts';
import { DIRECT } from '../../src/lib/net/proxy.ts';

/** Nothing that answers within it is silent. */
const ANSWER_TIMEOUT_MS = 1_500;
/** For what answers: it ends what hangs. */
const REACH_TIMEOUT_MS = 60_000;

export const SETTINGS: HostSettings = {
  failPoint: null,
  hostTag: 'fade',
  homeId: '',
  runtimeDirectory: '/nonexistent',
  mediaDirectories: [],
  kernelVmlinux: '',
  kernelBzImage: '',
  bootInitramfs: '',
  hypervisor: 'simulator',
  accelerator: 'auto',
  sysfsRoot: '/sys',
  mediaHosts: [],
  outbound: DIRECT,
  registries: NO_REGISTRIES,
  cacheDirectory: '/nonexistent',
  cacheBytesMax: 0,
  diskDirectory: '/nonexistent',
  antiSpoofing: true,
  guestIsolation: false,
  isolation: 'full',
  firstUid: 2_000_000_000,
  nameServers: ['9.9.9.9'],
};

export const SPEC: NetworkSpec = {
  bridge: 'vfade0',
  hostIp: '10.88.0.1',
  prefixLength: 24,
  subnet: '10.88.0.0/24',
  exposeAddress: '0.0.0.0',
};

export const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

/** Makes the network of SPEC as the daemon does, and removes it at the end of the test. */
export function makeNetwork(t: TestContext, settings = SETTINGS): HostChanges {
  const changes = planNetwork({ spec: SPEC, changes: {} });
  t.after(() => {
    endLeaseServer(settings.hostTag);
    removeNetwork({ settings, spec: SPEC, changes });
  });
  ensureNetwork({ settings, spec: SPEC, changes });
  return changes;
}

export interface Place {
  /** What the command prints on both outputs, whatever its status. */
  run(command: string, ...args: string[]): string;
  /** As run, while this process continues: lines of standard output. */
  linesOf(command: string, ...args: string[]): Promise<readonly string[]>;
  /** Answers each datagram, and each connection, at a port of an address with the name. */
  serve(name: string, port: number, address?: string): Promise<void>;
  /** What answers there; null when nothing does. A sender of datagrams can keep its port. */
  ask(
    protocol: 'tcp' | 'udp',
    address: string,
    port: number,
    ownPort?: number,
  ): Promise<string | null>;
  /** As `ask`, for what must answer, however long that takes. */
  reach(
    protocol: 'tcp' | 'udp',
    address: string,
    port: number,
    ownPort?: number,
  ): Promise<string | null>;
  /** Runs a program for Node until the end of the test; resolves when it has printed something. */
  program(text: string, ...args: string[]): Promise<void>;
  /** Sends back what it gets on each TCP connection. */
  echo(port: number, address?: string): Promise<void>;
  /** Sends "tick" on each TCP connection every 50 ms, whatever it gets. */
  chatter(port: number): Promise<void>;
  /** A TCP connection that stays open. */
  talk(address: string, port: number): Promise<Talk>;
}

export interface Talk {
  /** Sends a text; resolves with what comes next, or with null when nothing does or the connection ends. */
  say(text: string): Promise<string | null>;
  /** As `say`, for what must be answered, however long that takes. */
  hear(text: string): Promise<string | null>;
  /** Resolves when nothing has come for a while. */
  drained(): Promise<void>;
}

/** Programs that begin with `enter` run somewhere else. All that serve are ended with the test. */
function placeAt(t: TestContext, enter: readonly string[]): Place {
  const commandOf = (...args: string[]): [string, string[]] => {
    const [command = '', ...rest] = [...enter, ...args];
    return [command, rest];
  };
  const start = (...args: string[]): ChildProcessByStdio<null, Readable, null> =>
    spawn(...commandOf(...args), { stdio: ['ignore', 'pipe', 'inherit'] });
  const linesOf = async (...args: string[]) => {
    let output = '';
    for await (const chunk of start(...args).stdout) output += chunk;
    return output.split('\n').filter(Boolean);
  };
  const serving = async (program: string, ...args: string[]) => {
    const child = start(process.execPath, '-e', program, ...args);
    endAfter(t, child);
    await once(child.stdout, 'data');
  };
  const answerOf = async (
    timeoutMs: number,
    [protocol, address, port, ownPort = 0]: Parameters<Place['ask']>,
  ) => {
    const numbers = [port, ownPort, timeoutMs].map(String);
    const [answer] = await linesOf(process.execPath, '-e', CLIENT, protocol, address, ...numbers);
    return answer ?? null;
  };
  return {
    program: serving,
    echo: (port, address = '0.0.0.0') => serving(ECHO, String(port), address),
    chatter: (port) => serving(CHATTER, String(port)),
    talk: async (address, port) => {
      const [command, args] = commandOf(process.execPath, '-e', TALK, address, String(port));
      const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
      endAfter(t, child);
      await once(child.stdout, 'data');
      const next = async (timeoutMs: number): Promise<string | null> => {
        const heard = once(child.stdout, 'data', { signal: AbortSignal.timeout(timeoutMs) });
        const gone = once(child, 'exit').then(() => null);
        try {
          const data = await Promise.race([heard, gone]);
          return data === null ? null : String(data[0]);
        } catch (error) {
          if ((error as Error).name !== 'AbortError') throw error;
          return null;
        }
      };
      const send = (text: string, timeoutMs: number) => {
        if (child.exitCode !== null) return Promise.resolve(null);
        child.stdin.on('error', () => undefined);
        child.stdin.write(text);
        return next(timeoutMs);
      };
      return {
        say: (text) => send(text, ANSWER_TIMEOUT_MS),
        hear: (text) => send(text, REACH_TIMEOUT_MS),
        drained: async () => {
          while (child.exitCode === null && (await next(ANSWER_TIMEOUT_MS / 3)) !== null);
        },
      };
    },
    run: (...args) => {
      const result = spawnSync(...commandOf(...args), { encoding: 'utf8' });
      return result.stdout + result.stderr;
    },
    linesOf,
    serve: async (name, port, address = '0.0.0.0') => {
      await serving(SERVER, name, String(port), address);
    },
    ask: (...args) => answerOf(ANSWER_TIMEOUT_MS, args),
    reach: (...args) => answerOf(REACH_TIMEOUT_MS, args),
  };
}

function endAfter(t: TestContext, child: ChildProcess): void {
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  });
}

/** The namespace that the test runs in. */
export const createHostPlace = (t: TestContext): Place => placeAt(t, []);

let count = 0;

/** A namespace with a cable to this one; the end here has this name, the other one is eth0. */
function createPlace(t: TestContext, link: string): Place & { readonly namespace: string } {
  const namespace = `volant-veth-${process.pid}-${count++}`;
  ip('netns', 'add', namespace);
  t.after(() => {
    // The kernel takes the veth with its namespace, but some time later; the name is wanted again.
    spawnSync('ip', ['link', 'delete', link]);
    ip('netns', 'delete', namespace);
  });
  ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
  ip('link', 'set', link, 'up');
  for (const name of ['lo', 'eth0']) ip('-n', namespace, 'link', 'set', name, 'up');
  return { namespace, ...placeAt(t, ['nsenter', `--net=/run/netns/${namespace}`]) };
}

const SERVER = `
  const [name, port, at] = process.argv.slice(1);
  const udp = require('node:dgram').createSocket('udp4');
  udp.on('message', (_, { address, port }) => udp.send(name, port, address));
  require('node:net').createServer((c) => c.on('error', () => {}).end(name)).listen(port, at, () =>
    udp.bind(port, at, () => console.log('serves')));`;

const ECHO = `
  const [port, at] = process.argv.slice(1);
  require('node:net').createServer((c) => c.on('error', () => {}).pipe(c)).listen(port, at, () =>
    console.log('serves'));`;

const CHATTER = `
  const [port] = process.argv.slice(1);
  require('node:net').createServer((c) => {
    const timer = setInterval(() => c.write('tick'), 50);
    c.on('error', () => {}).on('close', () => clearInterval(timer)).resume();
  }).listen(port, () => console.log('serves'));`;

const TALK = `
  const [host, port] = process.argv.slice(1);
  const end = () => process.exit();
  const socket = require('node:net').connect({ host, port }, () => console.log('connected'));
  socket.on('data', (data) => process.stdout.write(data)).on('error', end).on('close', end);
  process.stdin.on('data', (data) => socket.write(data));`;

const CLIENT = `
  const [protocol, address, port, ownPort, timeout] = process.argv.slice(1);
  const done = (answer) => { if (answer) console.log(String(answer)); process.exit(); };
  setTimeout(done, Number(timeout));
  if (protocol === 'tcp') {
    require('node:net').connect({ port, host: address }).on('data', done).on('error', () => done());
  } else {
    const udp = require('node:dgram').createSocket('udp4').on('message', done).on('error', () => done());
    udp.bind(Number(ownPort), () => udp.send('?', Number(port), address));
  }`;

export interface VethGuest extends Place {
  readonly identity: GuestIdentity;
}

/** A guest with the address 10.88.0.<number>, on a bridge; it can send at once. */
export function createGuest(t: TestContext, number: number, bridge = SPEC.bridge): VethGuest {
  const identity: GuestIdentity = {
    tapName: `vt${SETTINGS.hostTag}-${number}`,
    macAddress: `02:fa:00:00:00:${number.toString(16).padStart(2, '0')}`,
    ipAddress: `10.88.0.${number}`,
    asksForLease: false,
  };
  const place = createPlace(t, identity.tapName);
  const inside = (...args: string[]) => ip('-n', place.namespace, ...args);
  ip('link', 'set', identity.tapName, 'master', bridge);
  inside('link', 'set', 'eth0', 'address', identity.macAddress);
  inside('address', 'add', `${identity.ipAddress}/24`, 'dev', 'eth0');
  inside('route', 'add', 'default', 'via', SPEC.hostIp);
  return { ...place, identity };
}

/** Another machine on the bridge, with 203.0.113.1/24. It knows nothing of the guests' network. */
export function createNeighbour(t: TestContext): Place {
  const place = createPlace(t, 'vfadelan');
  ip('link', 'set', 'vfadelan', 'master', SPEC.bridge);
  ip('-n', place.namespace, 'address', 'add', '203.0.113.1/24', 'dev', 'eth0');
  return place;
}

/** Somebody beyond the host: 198.51.100.2, who knows the guests' network to be behind 198.51.100.1. */
export function createOutside(t: TestContext): Place {
  const place = createPlace(t, 'vfadeout');
  ip('address', 'add', '198.51.100.1/24', 'dev', 'vfadeout');
  const inside = (...args: string[]) => ip('-n', place.namespace, ...args);
  inside('address', 'add', '198.51.100.2/24', 'dev', 'eth0');
  inside('route', 'add', SPEC.subnet, 'via', '198.51.100.1');
  return place;
}
