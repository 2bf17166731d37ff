// test helpers: clients that ask for every operation of the API repeatedly: rightly, wrongly, and going away in the
// middle. What they are answered is not looked at, but for answers that say that the daemon is at fault.

import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import WebSocket from 'ws';
import { LIMITS } from '../../src/config/limits.ts';
import { OPERATIONS } from '../../src/schema/operations.ts';
import type { Daemon } from './daemon.ts';

type OperationId = keyof typeof OPERATIONS;

/** Fewer than clients ask for: they meet. */
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];
const SETS = ['web', 'job'];
const PLUGINS = ['own', 'other'];
const MIB = 1024 ** 2;
const ANSWER_MS = 60_000;
/** Of clients that fill what the daemon keeps. */
const FILLERS = 64;

interface Call {
  readonly path?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

export class Churn {
  readonly #daemon: Daemon;
  readonly #random: () => number;
  readonly #counts = new Map<string, number>();
  /** Answers that say that the daemon is at fault. */
  readonly faults: string[] = [];
  readonly #image: string;
  #manifest: Record<string, unknown> = {};

  constructor(daemon: Daemon, random: () => number) {
    this.#daemon = daemon;
    this.#random = random;
    this.#image = join(daemon.home, 'images/soak.raw');
  }

  /** Before the first round. */
  async prepare(): Promise<void> {
    writeFileSync(this.#image, Buffer.alloc(MIB));
    this.#manifest = (await this.#daemon.call('GET', '/api/v1/plugins/hello')).body;
  }

  /** How often each operation was asked for. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  /**
   * Fills what the daemon keeps in memory up to a bound: answers of requests with a key, and the newest events. From then on
   * each new one takes the place of an old one. Without this, a run of an hour would fill them slowly and look like a leak.
   */
  async fill(): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: FILLERS });
    const ask = async (path: string, body: object, headers: Readonly<Record<string, string>>) => {
      const { status, text } = await this.#exchange('POST', path, JSON.stringify(body), {
        headers,
        agent,
      });
      if (status >= 300) throw new Error(`POST ${path} answered ${status}: ${text}`);
    };
    await this.#exchange('POST', '/api/v1/plugins', JSON.stringify(this.#pluginNamed('own')));
    try {
      // The answer is a VM, as those of most requests with a key.
      await inParallel(LIMITS.idempotencyKeysMax, FILLERS, (index) =>
        ask(
          '/api/v1/vms?dry_run=true',
          { name: `fills-${index}`, plugin: 'hello' },
          { 'Idempotency-Key': randomUUID() },
        ),
      );
      // The ring is cut back when it is twice as long.
      await inParallel(2 * LIMITS.eventRingMax, FILLERS, (index) =>
        ask('/api/v1/plugins/own/enabled', { enabled: index % 2 === 0 }, {}),
      );
    } finally {
      agent.destroy();
    }
    await this.clear();
  }

  /** So many clients, until that time. */
  async round(clients: number, untilMs: number): Promise<void> {
    const client = async () => {
      while (performance.now() < untilMs) await this.#anything();
    };
    await Promise.all([
      ...Array.from({ length: clients }, client),
      this.#crashes(untilMs),
      this.#streams(untilMs),
    ]);
  }

  /** All that a round has made is deleted. */
  async clear(): Promise<void> {
    for (const name of SETS) await this.#send('deleteDeployment', { path: `deployments/${name}` });
    await Promise.all(NAMES.map((name) => this.#send('destroyVM', { path: `vms/${name}` })));
    for (const plugin of PLUGINS) {
      await this.#send('removePluginArtifacts', { path: `plugins/${plugin}/artifacts` });
      await this.#send('removePlugin', { path: `plugins/${plugin}` });
    }
  }

  async #anything(): Promise<void> {
    const ids = Object.keys(OPERATIONS) as OperationId[];
    // Half of the time VMs come and go: that is what the daemon is for.
    const id = this.#random() < 0.5 ? this.#oneOf(LIVES) : this.#oneOf(ids);
    if (OPERATIONS[id].path.includes('/events')) return;
    await this.#send(id, this.#callOf(id));
    if (this.#random() < 0.05) await this.#goAway();
    await pause(this.#random() * 20);
  }

  /** What an operation is asked; for those that have no entry, with nothing in the body. */
  #callOf(id: OperationId): Call {
    const name = this.#oneOf(NAMES);
    const plugin = this.#oneOf(PLUGINS);
    const set = this.#oneOf(SETS);
    const calls: Partial<Record<OperationId, () => Call>> = {
      createVM: () => this.#newVm(name),
      destroyVM: () => ({ path: `vms/${name}?grace_seconds=${this.#oneOf([0, 1])}` }),
      stopVM: () => ({ path: `vms/${name}/stop?grace_seconds=0` }),
      updateVMConfig: () => ({ body: { metadata: { at: this.#random() } } }),
      createDeployment: () => ({
        path: this.#oneOf(['deployments?wait=accepted', 'deployments?dry_run=true']),
        body: { name: set, replicas: 2, config: { plugin: 'hello' } },
      }),
      scaleDeployment: () => ({
        path: `deployments/${set}?wait=accepted`,
        body: this.#oneOf([
          { replicas: Math.floor(this.#random() * 4) },
          { config: { plugin: 'hello', metadata: { at: Math.floor(this.#random() * 20) } } },
        ]),
      }),
      rollbackDeployment: () => ({ path: `deployments/${set}/rollback?wait=accepted`, body: {} }),
      listDeploymentRevisions: () => ({ path: `deployments/${set}/revisions` }),
      deleteDeployment: () => ({ path: `deployments/${set}` }),
      getDeployment: () => ({ path: `deployments/${set}` }),
      installPlugin: () => ({ body: this.#pluginNamed(plugin) }),
      setPluginEnabled: () => ({ body: { enabled: this.#random() < 0.5 } }),
      putPluginArtifact: () => ({
        body: { version: '1', artifact_name: 'rootfs', kind: 'rootfs', local_path: this.#image },
      }),
      postMCPCommand: () => ({ body: this.#oneOf(MCP) }),
      auditSystem: () => ({ path: `system/audit?repair=${this.#random() < 0.5}` }),
      listVMs: () => ({ path: `vms?sort=name&limit=${1 + Math.floor(this.#random() * 5)}` }),
    };
    return calls[id]?.() ?? {};
  }

  #pluginNamed(name: string): object {
    return { ...this.#manifest, name };
  }

  #newVm(name: string): Call {
    const disks = [{ name: 'data', source: this.#image, format: 'raw' }];
    const config = this.#oneOf([
      {},
      { network: { mode: 'vsock' } },
      { manifest: { ...this.#manifest, disks } },
      { cloud_init: { user_data: { inline: true, content: '#cloud-config' } } },
      { expose: [{ port: 80, host_port: 18_600 + NAMES.indexOf(name) }] },
      { rootfs: { url: '/nowhere.img' } },
    ]);
    const body = { name, plugin: 'hello', config };
    const key = this.#random() < 0.03 ? { 'Idempotency-Key': randomUUID() } : {};
    return { body, headers: key };
  }

  async #send(id: OperationId, { path, body, headers = {} }: Call): Promise<Answer> {
    const { method, path: template } = OPERATIONS[id];
    this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
    const filled = template
      .replace('{name}', () => this.#oneOf(NAMES))
      .replace('{plugin}', () => this.#oneOf([...PLUGINS, 'hello']))
      .replace('{action}', 'none')
      .replace('{artifact}', 'rootfs');
    // Nobody takes the plugin away that VMs are made of.
    const isTheirs = method !== 'GET' && filled.includes('/plugins/hello');
    const target = path === undefined ? filled : `/api/v1/${path}`;
    const safe = isTheirs ? target.replace('/hello', '/own') : target;
    const text = body === undefined && method !== 'GET' ? '{}' : JSON.stringify(body);
    const answer = await this.#exchange(method, safe, text, { headers });
    if (answer.text.includes('"INTERNAL"'))
      this.faults.push(`${method} ${safe}: ${answer.text.slice(0, 300)}`);
    return answer;
  }

  /** On a connection of its own unless there is an agent, so that at rest none is left. */
  #exchange(
    method: string,
    path: string,
    body: string | undefined,
    {
      headers = {},
      agent = false,
    }: { readonly headers?: Readonly<Record<string, string>>; readonly agent?: Agent | false } = {},
  ): Promise<Answer> {
    const type = body === undefined ? {} : { 'Content-Type': 'application/json' };
    return new Promise((resolve, reject) => {
      const options = { method, agent, headers: { ...type, ...headers } };
      const asked = request(this.#daemon.url + path, options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.once('error', reject);
        response.once('end', () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        );
      });
      asked.setTimeout(ANSWER_MS, () => asked.destroy(new Error(`${method} ${path}: no answer`)));
      asked.once('error', reject);
      asked.end(body);
    });
  }

  /** A client that leaves before it was answered, or in the middle of its body. */
  async #goAway(): Promise<void> {
    const asked = request(`${this.#daemon.url}/api/v1/vms`, {
      method: 'POST',
      agent: false,
      headers: { 'Content-Type': 'application/json', 'Content-Length': '1000' },
    });
    asked.on('error', () => undefined);
    asked.write('{"name": "half');
    await pause(this.#random() * 10);
    asked.destroy();
  }

  /** Hypervisors that die. */
  async #crashes(untilMs: number): Promise<void> {
    while (performance.now() < untilMs) {
      await pause(300 + this.#random() * 500);
      const { text } = await this.#exchange('GET', `/api/v1/vms/${this.#oneOf(NAMES)}`, undefined);
      const { pid } = JSON.parse(text);
      if (pid === undefined) continue;
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
  }

  /** Readers of events, consoles and logs that come and go. */
  async #streams(untilMs: number): Promise<void> {
    while (performance.now() < untilMs) {
      const path = this.#oneOf(['/api/v1/events?after=0', '/api/v1/events/vms', '/api/v1/events']);
      this.#count(path.includes('/vms') ? 'streamVMEvents' : 'streamEvents');
      const abort = new AbortController();
      const response = await fetch(this.#daemon.url + path, {
        signal: abort.signal,
        headers: { Connection: 'close' },
      });
      const reading = response.body?.getReader().read();
      const name = this.#oneOf(NAMES);
      const kind = this.#oneOf(['console', 'logs']);
      const socket = new WebSocket(
        `${this.#daemon.url.replace('http', 'ws')}/ws/v1/vms/${name}/${kind}`,
      );
      socket.on('error', () => undefined);
      await Promise.race([reading, pause(100)]);
      await pause(this.#random() * 200);
      abort.abort();
      await reading?.catch(() => undefined);
      socket.terminate();
    }
  }

  #count(id: OperationId): void {
    this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
  }

  #oneOf<T>(all: readonly T[]): T {
    return all[Math.floor(this.#random() * all.length)] as T;
  }
}

/** Runs `work` for 0 to count-1, so many at a time. */
async function inParallel(
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

const LIVES: readonly OperationId[] = [
  'createVM',
  'createVM',
  'createVM',
  'destroyVM',
  'destroyVM',
  'startVM',
  'stopVM',
  'restartVM',
  'updateVMConfig',
];

const MCP: readonly object[] = [
  { command: 'volant.vms.list', params: {} },
  { command: 'volant.system.get_capabilities' },
  { jsonrpc: '2.0', id: 1, method: 'tools/list' },
  { command: 'no.such.command', params: { a: 'x'.repeat(1000) } },
];
