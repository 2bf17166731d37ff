// test, http: an engine for the HTTP room alone. Lists come from the engine's own read model and events
// from a log in memory; everything else answers something small and remembers that it was asked.

import type {
  Cause,
  Engine,
  EventApi,
  KeptAnswer,
  VmListQuery,
  WaitOptions,
} from '../../src/engine/engine-api.ts';
import type { EventBody, StoredEvent, VmRecord } from '../../src/engine/records.ts';
import { ReadModel } from '../../src/engine/state/read-model.ts';
import { summaryOf } from '../../src/engine/vm-list/vm-entry.ts';
import { VolantError } from '../../src/lib/errors.ts';
import type { CreateVmRequest } from '../../src/schema/vm.ts';

const NO_BUDGET = {
  memory_total_mb: 1024,
  memory_limit_mb: null,
  memory_used_mb: 0,
  cpu_cores: 1,
  vcpus_limit: null,
  vcpus_used: 0,
};

/** One call that reached the engine: its name, such as "vms.create", and what it was given. */
export interface Call {
  readonly name: string;
  readonly given: readonly unknown[];
}

/** Parts of the engine that a test replaces. */
export type Replacements = { readonly [Part in keyof Engine]?: Partial<Engine[Part]> };

export interface FakeEngine {
  readonly engine: Engine;
  readonly vms: ReadModel;
  readonly events: FakeEvents;
  /** In order; reads are not remembered. */
  readonly calls: readonly Call[];
  readonly callNames: () => string[];
}

/** VMs that are read from what was put: the records of those at rest are not in a read model. */
class StoredModel extends ReadModel {
  readonly #records: Map<number, VmRecord>;

  constructor(records: readonly VmRecord[]) {
    const stored = new Map(records.map((record) => [record.id, record]));
    const read = (vmId: number) => stored.get(vmId);
    super('/run/volant', { summaries: records.map(summaryOf), read });
    this.#records = stored;
  }

  override put(record: VmRecord): void {
    this.#records.set(record.id, record);
    super.put(record);
  }
}

/** A test says what it needs to be different; a new part of Engine is added to `parts` below. */
export function createFakeEngine(replacements: Replacements = {}): FakeEngine {
  const vms = new StoredModel([]);
  const events = new FakeEvents();
  const calls: Call[] = [];
  const note = (name: string, ...given: unknown[]) => void calls.push({ name, given });
  const parts: Replacements = {
    vms: vmPart(vms, note),
    plugins: pluginPart(note),
    deployments: {
      list: () => [],
      remove: async (name) => note('deployments.remove', name),
    },
    configs: {},
    stats: {
      list: async () => ({ stats: [], total: 0 }),
      queues: () => [],
      families: async () => [],
    },
    egress: {},
    execs: {},
    idempotency: idempotencyPart(),
    events,
    system: {
      health: async () => ({ reasons: [], warnings: [] }),
      status: async () => ({
        vm_count: vms.size,
        cpu_percent: 0,
        mem_percent: 0,
        budget: NO_BUDGET,
      }),
    },
  };
  const names = new Set([...Object.keys(parts), ...Object.keys(replacements)]) as Set<keyof Engine>;
  const entries = [...names].map((name) => [name, merged(parts[name], replacements[name])]);
  // A route of which no test asks anything may find its part missing; it then answers INTERNAL.
  const engine = Object.fromEntries(entries) as unknown as Engine;
  return { engine, vms, events, calls, callNames: () => calls.map(({ name }) => name) };
}

/** Methods of a class stay bound to their object, which a copy of its own members would lose. */
function merged(part: object | undefined, replacement: object | undefined): object {
  return replacement === undefined ? (part ?? {}) : Object.assign({}, part, replacement);
}

type Note = (name: string, ...given: unknown[]) => void;

function vmPart(vms: ReadModel, note: Note): Engine['vms'] {
  const bodyOf = (name: string): string => {
    const body = vms.body(name);
    if (body === undefined) throw new VolantError('VM_NOT_FOUND', `There is no VM named ${name}`);
    return body;
  };
  const act =
    (what: string) =>
    async (name: string, ...options: unknown[]) => {
      note(`vms.${what}`, name, ...options);
      return bodyOf(name);
    };
  return {
    create: async (request: CreateVmRequest, options?: WaitOptions, cause?: Cause) => {
      note('vms.create', request, options, cause);
      if (vms.body(request.name) !== undefined) throw new VolantError('VM_NAME_TAKEN');
      vms.put(vmRecord(vms.size + 1, request.name));
      return bodyOf(request.name);
    },
    planCreate: async (request) => {
      note('vms.planCreate', request);
      const actions = [{ action: 'create', subject: request.name }];
      const { config: _, ...vm } = vms.preview(vmRecord(vms.size + 1, request.name));
      return { ...vm, dry_run: true as const, actions };
    },
    get: (name) => vms.body(name),
    operations: () => [],
    result: (name) => {
      throw new VolantError('RESULT_NOT_FOUND', `The guest of ${name} has posted no result`);
    },
    list: (query) => vms.list(query),
    stream: (query) => vms.stream(query),
    start: act('start'),
    stop: act('stop'),
    restart: act('restart'),
    setDeadline: act('setDeadline'),
    destroy: async (name, ...options) => {
      note('vms.destroy', name, ...options);
      bodyOf(name);
      vms.remove(vms.recordByName(name)?.id ?? 0);
    },
  };
}

function pluginPart(note: Note): Partial<Engine['plugins']> {
  return {
    list: () => ['hello'],
    install: async (manifest) => note('plugins.install', manifest),
    remove: async (name) => note('plugins.remove', name),
    setEnabled: async (name, enabled) => note('plugins.setEnabled', name, enabled),
  };
}

function idempotencyPart(): Engine['idempotency'] {
  const kept = new Map<string, { fingerprint: string; answer: Promise<KeptAnswer> }>();
  return {
    run: async (key, fingerprint, carryOut) => {
      const known = kept.get(key);
      if (known === undefined) {
        const answer = carryOut(false);
        kept.set(key, { fingerprint, answer });
        return answer;
      }
      if (known.fingerprint !== fingerprint) throw new VolantError('IDEMPOTENCY_MISMATCH');
      return known.answer;
    },
  };
}

/** The event log: numbers from 1 on, the oldest of which can be forgotten. */
export class FakeEvents implements EventApi {
  #stored: StoredEvent[] = [];
  #last = 0;
  readonly #listeners = new Set<(events: readonly StoredEvent[]) => void>();

  get listeners(): number {
    return this.#listeners.size;
  }

  /** As one commit: readers are told once. */
  readonly append = (...bodies: readonly EventBody[]): void => {
    const events = bodies.map((body) => {
      this.#last += 1;
      return { sequence: this.#last, body };
    });
    this.#stored.push(...events);
    for (const listener of this.#listeners) listener(events);
  };

  /** Events up to this one are gone for good. */
  readonly forget = (sequence: number): void => {
    this.#stored = this.#stored.filter((event) => event.sequence > sequence);
  };

  readonly lastSequence = (): number => this.#last;

  readonly oldestSequence = (): number => this.#stored[0]?.sequence ?? this.#last + 1;

  readonly after = (sequence: number, limit: number): readonly StoredEvent[] => {
    const start = Math.max(sequence + 1 - this.oldestSequence(), 0);
    return this.#stored.slice(start, start + limit);
  };

  readonly page = (sequence: number, limit: number) => {
    const events = this.after(sequence, limit);
    return { events, nextAfter: events.at(-1)?.sequence ?? Math.min(sequence, this.#last) };
  };

  readonly subscribe = (listener: (events: readonly StoredEvent[]) => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
}

export function vmEvent(name: string, type = 'VM_RUNNING', more: Partial<EventBody> = {}) {
  return { type, name, status: 'running', timestamp: '2026-01-01T00:00:00.000Z', ...more };
}

/** A VM that runs, created one second after the one with the number before. */
export function vmRecord(id: number, name: string, more: Partial<VmRecord> = {}): VmRecord {
  return {
    id,
    name,
    wanted: { state: 'running', launch: 1 },
    observed: { launch: 1, attempt: 1, end: null, isReleased: false },
    status: 'running',
    plugin: 'hello',
    runtime: 'hello',
    cpuCores: 1,
    memoryMb: 128,
    kernelCmdline: 'console=ttyS0',
    networkMode: 'bridged',
    leases: {
      ipAddress: `192.168.127.${id + 1}`,
      macAddress: '02:00:00:00:00:01',
      tapName: `vt${id}`,
      vsockCid: id + 2,
    },
    configVersion: 1,
    launchedConfigVersion: 1,
    neverRan: false,
    driver: 'simulator',
    process: { pid: 4000 + id, startTimeTicks: 1, bootId: 'boot' },
    createdAtMs: 1_767_225_600_000 + id * 1000,
    updatedAtMs: 1_767_225_600_000 + id * 1000,
    ...more,
  };
}

export interface LargeFleet {
  readonly fake: FakeEngine;
  /** How often the list was asked for. */
  readonly asked: () => number;
  /** The body of the whole list: 24 MB, more than a socket takes for somebody who does not read. */
  readonly body: string;
}

/** A list of 3,000 is sent in pieces, one of 300 as a whole. */
export const LARGE_FLEETS = [3000, 300] as const;

export async function createLargeFleet(size: number): Promise<LargeFleet> {
  const kernelCmdline = 'x'.repeat(24_000_000 / size);
  const vms = Array.from({ length: size }, (_, i) =>
    vmRecord(i + 1, `vm-${i + 1}`, { kernelCmdline }),
  );
  const model = new StoredModel(vms);
  const query = { statuses: [], sort: 'created_at', descending: false, offset: 0 } as const;
  const { body } = await model.list(query);
  let asked = 0;
  const stream: Engine['vms']['stream'] = (given) => {
    asked += 1;
    return model.stream(given);
  };
  const list = (given: VmListQuery) => model.list(given);
  return { fake: createFakeEngine({ vms: { list, stream } }), asked: () => asked, body };
}
