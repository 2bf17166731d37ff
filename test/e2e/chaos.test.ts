// e2e: many clients change the same VMs, while the daemon and hypervisors are killed and operations of the daemon fail. The
// answers must match some order of the requests. The seed is printed; VOLANT_TEST_SEED repeats it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { type Call, type Kind, type Outcome, possibleEnds, type State } from './linear.ts';
import { ask, checkHost, comeToRest, randomOf } from './story.ts';

const SECONDS = Number(process.env['VOLANT_TEST_CHAOS_SECONDS'] ?? 8);
const SEED = Number(process.env['VOLANT_TEST_SEED'] ?? Date.now() % 1_000_000);
const CLIENTS = 6;
/** Fewer than clients: they meet. */
const NAMES = ['a', 'b', 'c', 'd'];
/** Calls about one VM between two moments at which nothing is under way; more could not be checked in time. */
const CALLS_MAX = 40;
const UNKNOWN_MAX = 8;
const ROUND_MS = 3_000;

class Chaos {
  readonly #daemon: Daemon;
  readonly #random: () => number;
  readonly #calls = new Map<string, Call[]>();
  readonly #nft: { breakIt(): void; mendIt(): void };
  #ends = new Map<string, ReadonlySet<State>>(NAMES.map((name) => [name, new Set(['absent'])]));

  constructor(daemon: Daemon, random: () => number, nft: { breakIt(): void; mendIt(): void }) {
    this.#daemon = daemon;
    this.#random = random;
    this.#nft = nft;
  }

  /** Clients and mishaps for a while; then all comes to rest and is checked. */
  async round(): Promise<void> {
    for (const name of NAMES) this.#calls.set(name, []);
    const untilMs = performance.now() + ROUND_MS;
    const clients = Array.from({ length: CLIENTS }, () => this.#client(untilMs));
    await Promise.all([...clients, this.#mishaps(untilMs)]);
    await comeToRest(this.#daemon);
    await this.#check();
    await checkHost(this.#daemon);
  }

  async #client(untilMs: number): Promise<void> {
    while (performance.now() < untilMs) {
      const name = this.#oneOf(NAMES);
      const calls = this.#calls.get(name) ?? [];
      const unknown = calls.filter(({ outcome }) => outcome === 'unknown');
      if (calls.length < CALLS_MAX && unknown.length < UNKNOWN_MAX) {
        await this.#call(name, this.#oneOf(KINDS));
      }
      await pause(this.#random() * 20);
    }
  }

  async #call(name: string, kind: Exclude<Kind, 'crash'>): Promise<void> {
    const startMs = performance.now();
    const answer =
      kind === 'create'
        ? await ask(this.#daemon, 'POST', 'vms', { name, plugin: 'hello' })
        : kind === 'delete'
          ? await ask(this.#daemon, 'DELETE', `vms/${name}`)
          : await ask(this.#daemon, 'POST', `vms/${name}/${kind}`);
    if (answer === 'unsent') {
      await pause(50);
      return;
    }
    const outcome: Outcome =
      answer === null || answer.status >= 500
        ? 'unknown'
        : answer.status < 300
          ? 'done'
          : 'refused';
    const endMs = outcome === 'unknown' ? Number.POSITIVE_INFINITY : performance.now();
    this.#calls.get(name)?.push({ kind, outcome, startMs, endMs });
  }

  async #mishaps(untilMs: number): Promise<void> {
    while (performance.now() < untilMs) {
      await pause(200 + this.#random() * 600);
      const kind = this.#random();
      if (kind < 0.45) await this.#daemon.killAndRestart();
      else if (kind < 0.75) await this.#crash(this.#oneOf(NAMES));
      else {
        this.#nft.breakIt();
        await pause(150);
        this.#nft.mendIt();
      }
    }
  }

  /** Its end may be seen at any time from here on. */
  async #crash(name: string): Promise<void> {
    const answer = await ask(this.#daemon, 'GET', `vms/${name}`);
    const pid = answer === 'unsent' ? undefined : answer?.body?.pid;
    if (pid === undefined) return;
    const startMs = performance.now();
    const endMs = Number.POSITIVE_INFINITY;
    this.#calls.get(name)?.push({ kind: 'crash', outcome: 'unknown', startMs, endMs });
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  async #check(): Promise<void> {
    const { body: vms } = await this.#daemon.call('GET', '/api/v1/vms');
    for (const name of NAMES) {
      const calls = this.#calls.get(name) ?? [];
      const firsts = [...(this.#ends.get(name) ?? [])];
      const ends = new Set(firsts.flatMap((first) => [...possibleEnds(calls, first)]));
      const status = vms.find((vm: { name: string }) => vm.name === name)?.status ?? 'absent';
      const told = calls
        .toSorted((a, b) => a.startMs - b.startMs)
        .map(({ kind, outcome, startMs, endMs }) =>
          [kind, outcome, Math.round(startMs), Math.round(endMs)].join(' '),
        );
      assert.ok(
        ends.has(status),
        `seed ${SEED}: ${name} was ${firsts} and is ${status}, not ${[...ends]}:\n${told.join('\n')}`,
      );
      this.#ends.set(name, new Set([status]));
    }
  }

  #oneOf<T>(all: readonly T[]): T {
    return all[Math.floor(this.#random() * all.length)] as T;
  }
}

const KINDS = ['create', 'create', 'start', 'stop', 'restart', 'delete'] as const;

/** `nft` as the daemon finds it, which can be broken for a while. */
function breakableNft(t: TestContext) {
  const bin = mkdtempSync(join(tmpdir(), 'volant-nft-'));
  t.after(() => rmSync(bin, { recursive: true }));
  const broken = join(bin, 'broken');
  const real = execFileSync('sh', ['-c', 'command -v nft'], { encoding: 'utf8' }).trim();
  writeFileSync(join(bin, 'nft'), `#!/bin/sh\n[ -e ${broken} ] && exit 1\nexec ${real} "$@"\n`);
  chmodSync(join(bin, 'nft'), 0o755);
  return {
    path: `${bin}:${process.env['PATH']}`,
    breakIt: () => writeFileSync(broken, ''),
    mendIt: () => rmSync(broken, { force: true }),
  };
}

test(`what many clients were answered has happened, whatever was killed (seed ${SEED})`, async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const nft = breakableNft(t);
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator', PATH: nft.path });
  const chaos = new Chaos(daemon, randomOf(SEED), nft);
  const untilMs = performance.now() + SECONDS * 1000;
  let rounds = 0;
  for (; rounds === 0 || performance.now() < untilMs; rounds += 1) await chaos.round();
  t.diagnostic(`${rounds} rounds, seed ${SEED}`);
});
