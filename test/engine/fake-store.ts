// test: a stand-in for the store: it keeps what it was given, and fails where a test wants it to.

import type { Snapshot, StorePort, Write } from '../../src/engine/ports/store-ports.ts';
import type {
  AddressLease,
  AnswerRecord,
  ArtifactRecord,
  ConfigRecord,
  DeploymentRecord,
  DeviceRecord,
  EventBody,
  HostChanges,
  KvmTrial,
  OperationRecord,
  PluginRecord,
  ResultRecord,
  RevisionRecord,
  StoredEvent,
  VmRecord,
  VmSummary,
} from '../../src/engine/records.ts';
import { summaryOf } from '../../src/engine/vm-list/vm-entry.ts';

/** A store in memory that can be told to fail. Survives an engine, like a disk. */
export class FakeStore implements StorePort {
  readonly vms = new Map<number, VmRecord>();
  readonly stored = new Map<string, ConfigRecord>();
  readonly done = new Map<string, OperationRecord>();
  readonly results = new Map<number, ResultRecord>();
  readonly addresses = new Map<string, AddressLease>();
  readonly plugins = new Map<string, PluginRecord>();
  readonly events: StoredEvent[] = [];
  readonly deployments = new Map<string, DeploymentRecord>();
  readonly kept = new Map<string, RevisionRecord>();
  readonly devices = new Map<string, DeviceRecord>();
  readonly answers = new Map<string, AnswerRecord>();
  readonly artifacts = new Map<string, ArtifactRecord>();
  lastVmId = 0;
  builtinsInstalled = false;
  bootId: string | null = null;
  hostChanges: HostChanges = {};
  kvmTrials: Record<string, KvmTrial> = {};
  /** Throws to make a commit fail. */
  beforeCommit: (events: readonly EventBody[]) => void = () => undefined;
  healthy = true;

  load(): Snapshot {
    return {
      plugins: [...this.plugins.values()],
      deployments: [...this.deployments.values()],
      devices: [...this.devices.values()],
      answers: [...this.answers],
      artifacts: [...this.artifacts.values()],
      lastVmId: this.lastVmId,
      lastSequence: this.events.length,
      builtinsInstalled: this.builtinsInstalled,
      bootId: this.bootId,
      hostChanges: this.hostChanges,
      kvmTrials: this.kvmTrials,
    };
  }

  addressLeases(): Iterable<[string, AddressLease]> {
    return this.addresses;
  }

  summaries(): readonly VmSummary[] {
    return [...this.vms.values()].sort((a, b) => a.id - b.id).map(summaryOf);
  }

  vm(id: number): VmRecord | undefined {
    return this.vms.get(id);
  }

  async commit(writes: readonly Write[], events: readonly EventBody[]): Promise<StoredEvent[]> {
    await Promise.resolve();
    this.beforeCommit(events);
    for (const write of writes) this.#apply(write);
    const first = this.events.length + 1;
    const stored = events.map((body, index) => ({ sequence: first + index, body }));
    this.events.push(...stored);
    return stored;
  }

  families() {
    return [];
  }

  async probe(): Promise<void> {
    await this.commit([], []);
  }

  config(vmId: number, version: number): ConfigRecord | undefined {
    return this.stored.get(`${vmId}/${version}`);
  }

  configs(vmId: number, limit: number): readonly ConfigRecord[] {
    return [...this.stored.values()].filter((config) => config.vmId === vmId).slice(0, limit);
  }

  operations(vmId: number, limit: number): readonly OperationRecord[] {
    const all = [...this.done.values()].filter((one) => one.vmId === vmId);
    return all.sort((a, b) => b.number - a.number).slice(0, limit);
  }

  result(vmId: number): ResultRecord | undefined {
    return this.results.get(vmId);
  }

  revisions(deployment: string): readonly RevisionRecord[] {
    const all = [...this.kept.values()].filter((one) => one.deployment === deployment);
    return all.sort((a, b) => b.revision - a.revision);
  }

  eventsAfter(sequence: number, limit: number): readonly StoredEvent[] {
    return this.events.slice(sequence, sequence + limit);
  }

  oldestSequence(): number {
    return 1;
  }

  backup(): Promise<never> {
    return Promise.reject(new Error('a fake has no backup'));
  }

  async close(): Promise<void> {}

  #apply(write: Write): void {
    switch (write.table) {
      case 'vms':
        put(this.vms, write.key, write.value);
        if (write.value === null) {
          for (const [key, { vmId }] of this.done) if (vmId === write.key) this.done.delete(key);
        }
        break;
      case 'configs':
        put(this.stored, write.key.join('/'), write.value);
        break;
      case 'operations':
        put(this.done, write.key.join('/'), write.value);
        break;
      case 'results':
        put(this.results, write.key, write.value);
        break;
      case 'addresses':
        put(this.addresses, write.key, write.value);
        break;
      case 'plugins':
        put(this.plugins, write.key, write.value);
        break;
      case 'deployments':
        put(this.deployments, write.key, write.value);
        break;
      case 'revisions':
        put(this.kept, write.key.join('/'), write.value);
        break;
      case 'devices':
        put(this.devices, write.key, write.value);
        break;
      case 'answers':
        put(this.answers, write.key, write.value);
        break;
      case 'artifacts':
        put(this.artifacts, write.key.join('/'), write.value);
        break;
      case 'meta':
        if (write.key === 'lastVmId') this.lastVmId = write.value;
        else if (write.key === 'builtinsInstalled') this.builtinsInstalled = write.value;
        else if (write.key === 'bootId') this.bootId = write.value;
        else if (write.key === 'hostChanges') this.hostChanges = write.value ?? {};
        else if (write.key === 'kvmTrials') this.kvmTrials = write.value;
    }
  }
}

function put<K, V>(map: Map<K, V>, key: K, value: V | null): void {
  if (value === null) map.delete(key);
  else map.set(key, value);
}
