// http, access: the engine as one caller may use it. Every member of Engine is listed here, so that adding one forces a
// decision about who may use it. The scopes of operations are checked earlier: see callers.ts.

import type { Engine } from '../../engine/engine-api.ts';
import { type ErrorCode, VolantError } from '../../lib/errors.ts';
import type { RollbackRequest } from '../../schema/deployment.ts';
import type { VmConfigInput } from '../../schema/vm-config.ts';
import { type Caller, requireName, requireScope, seesEvent } from './callers.ts';

/** Errors whose messages name the VM or deployment that has what was asked for. */
const NAMES_OTHERS: readonly ErrorCode[] = ['PORT_TAKEN', 'ADDRESS_TAKEN', 'DEVICE_OWNED'];

/** The engine itself for a caller that may do everything. */
export function scopedEngine(engine: Engine, caller: Caller): Engine {
  if (caller.prefix === '' && caller.scope === 'admin') return engine;
  return {
    vms: scopedVms(engine.vms, caller),
    configs: scopedConfigs(engine.configs, caller),
    egress: {
      status: (name) => engine.egress.status(named(caller, name)),
      counts: async () => {
        const counts = [...(await engine.egress.counts())];
        return new Map(counts.filter(([name]) => name.startsWith(caller.prefix)));
      },
    },
    deployments: scopedDeployments(engine.deployments, caller),
    agents: {
      connection: (name) => engine.agents.connection(named(caller, name)),
      action: (name, plugin, action) => engine.agents.action(named(caller, name), plugin, action),
      workloadUrl: (name) => engine.agents.workloadUrl(named(caller, name)),
    },
    execs: scopedExecs(engine.execs, caller),
    consoles: {
      attach: (name, viewer) => engine.consoles.attach(named(caller, name), viewer),
      past: (name) => engine.consoles.past(named(caller, name)),
    },
    events: scopedEvents(engine.events, caller),
    system: scopedSystem(engine, caller),
    stats: scopedStats(engine.stats, caller),
    idempotency: {
      // The same idempotency key of two callers means two different requests.
      run: (key, fingerprint, carryOut) =>
        engine.idempotency.run(`${caller.name} ${key}`, fingerprint, carryOut),
    },
    // Plugins belong to no caller; the scopes of the operations are enough.
    plugins: engine.plugins,
    artifacts: engine.artifacts,
    images: engine.images,
    devices: engine.devices,
  };
}

function named(caller: Caller, name: string): string {
  requireName(caller, name);
  return name;
}

function scopedExecs(execs: Engine['execs'], caller: Caller): Engine['execs'] {
  return {
    create: async (name, request) => execs.create(named(caller, name), request),
    run: async (name, ...rest) => execs.run(named(caller, name), ...rest),
    list: async (name) => execs.list(named(caller, name)),
    get: async (name, id) => execs.get(named(caller, name), id),
    remove: async (name, id) => execs.remove(named(caller, name), id),
    signal: async (name, ...rest) => execs.signal(named(caller, name), ...rest),
    resize: async (name, ...rest) => execs.resize(named(caller, name), ...rest),
    attach: (name, ...rest) => execs.attach(named(caller, name), ...rest),
  };
}

function scopedVms(vms: Engine['vms'], caller: Caller): Engine['vms'] {
  return {
    create: async (request, ...rest) => {
      requireName(caller, request.name);
      requireDevices(caller, request.config);
      return quiet(caller, vms.create(request, ...rest));
    },
    planCreate: async (request) => {
      requireName(caller, request.name);
      requireDevices(caller, request.config);
      return quiet(caller, vms.planCreate(request));
    },
    get: (name) => vms.get(named(caller, name)),
    operations: (name) => vms.operations(named(caller, name)),
    result: (name) => vms.result(named(caller, name)),
    list: (query) => vms.list({ ...query, namePrefix: caller.prefix }),
    stream: (query) => vms.stream({ ...query, namePrefix: caller.prefix }),
    start: async (name, ...rest) => quiet(caller, vms.start(named(caller, name), ...rest)),
    stop: async (name, ...rest) => quiet(caller, vms.stop(named(caller, name), ...rest)),
    restart: async (name, ...rest) => quiet(caller, vms.restart(named(caller, name), ...rest)),
    setDeadline: async (name, ...rest) =>
      quiet(caller, vms.setDeadline(named(caller, name), ...rest)),
    destroy: async (name, ...rest) => vms.destroy(named(caller, name), ...rest),
  };
}

function scopedConfigs(configs: Engine['configs'], caller: Caller): Engine['configs'] {
  return {
    get: (name) => configs.get(named(caller, name)),
    history: (name, limit) => configs.history(named(caller, name), limit),
    patch: async (name, patch, ...rest) => {
      requireName(caller, name);
      requireDevices(caller, patch);
      return quiet(caller, configs.patch(name, patch, ...rest));
    },
    planPatch: (name, patch, version) => {
      requireName(caller, name);
      requireDevices(caller, patch);
      return quietNow(caller, () => configs.planPatch(name, patch, version));
    },
  };
}

function scopedDeployments(
  deployments: Engine['deployments'],
  caller: Caller,
): Engine['deployments'] {
  return {
    list: () => deployments.list().filter(({ name }) => name.startsWith(caller.prefix)),
    get: (name) => deployments.get(named(caller, name)),
    create: async (request, ...rest) => {
      requireName(caller, request.name);
      requireDevices(caller, request.config);
      return quiet(caller, deployments.create(request, ...rest));
    },
    patch: async (name, request, ...rest) => {
      requireName(caller, name);
      requireDevices(caller, request.config);
      return quiet(caller, deployments.patch(name, request, ...rest));
    },
    planCreate: (request) => {
      requireName(caller, request.name);
      requireDevices(caller, request.config);
      return quietNow(caller, () => deployments.planCreate(request));
    },
    planPatch: (name, request) => {
      requireName(caller, name);
      requireDevices(caller, request.config);
      return quietNow(caller, () => deployments.planPatch(name, request));
    },
    revisions: (name) => deployments.revisions(named(caller, name)),
    rollbackTarget: (name, request) => deployments.rollbackTarget(named(caller, name), request),
    rollback: async (name, request, ...rest) => {
      const asked = allowedRollback(deployments, caller, name, request);
      return quiet(caller, deployments.rollback(name, asked, ...rest));
    },
    planRollback: (name, request) => {
      const asked = allowedRollback(deployments, caller, name, request);
      return quietNow(caller, () => deployments.planRollback(name, asked));
    },
    remove: async (name, ...rest) => deployments.remove(named(caller, name), ...rest),
  };
}

/**
 * Checks the rollback with the number of the revision that was read, because the old config may need more rights than this
 * caller has.
 */
function allowedRollback(
  deployments: Engine['deployments'],
  caller: Caller,
  name: string,
  request: RollbackRequest,
): RollbackRequest {
  const { revision, config } = deployments.rollbackTarget(named(caller, name), request);
  requireDevices(caller, config);
  return { revision };
}

/** A page examines at most as many events as it may hold, so that a filter does not make the request more expensive. */
function scopedEvents(events: Engine['events'], caller: Caller): Engine['events'] {
  return {
    lastSequence: () => events.lastSequence(),
    oldestSequence: () => events.oldestSequence(),
    after: (sequence, limit) =>
      events.after(sequence, limit).filter(({ body }) => seesEvent(caller, body)),
    page: (sequence, limit) => {
      const page = events.page(sequence, limit);
      return { ...page, events: page.events.filter(({ body }) => seesEvent(caller, body)) };
    },
    subscribe: (listener) =>
      events.subscribe((batch) => {
        const seen = batch.filter(({ body }) => seesEvent(caller, body));
        if (seen.length > 0) listener(seen);
      }),
  };
}

function scopedSystem({ system, vms }: Engine, caller: Caller): Engine['system'] {
  const none = { statuses: [], sort: 'name', descending: false, limit: 0, offset: 0 } as const;
  return {
    health: () => system.health(),
    info: () => system.info(),
    audit: async (repair) => {
      if (repair) requireScope(caller, 'admin', 'A repair');
      const report = await system.audit(repair);
      // Differences that belong to no VM are shown only to callers that may see all VMs.
      const isSeen = (name: string | null) =>
        caller.prefix === '' || name?.startsWith(caller.prefix);
      return {
        ...report,
        differences: report.differences.filter(({ vm }) => isSeen(vm)),
        in_progress: report.in_progress.filter(isSeen),
      };
    },
    backup: () => {
      // The backup contains the VMs of all callers.
      requireName(caller, '');
      return system.backup();
    },
    readDocument: (path) => system.readDocument(path),
    documentToJson: (text) => system.documentToJson(text),
    summary: () => system.summary(caller.prefix),
    status: async () => {
      const { total } = await vms.list({ ...none, namePrefix: caller.prefix });
      return { ...(await system.status()), vm_count: total };
    },
  };
}

function scopedStats(stats: Engine['stats'], caller: Caller): Engine['stats'] {
  return {
    vm: (name) => stats.vm(named(caller, name)),
    list: (query) => stats.list({ ...query, namePrefix: caller.prefix }),
    load: () => stats.load(),
    queues: () => stats.queues(),
    families: async () => {
      // Metrics are of the VMs of all callers.
      requireName(caller, '');
      return stats.families();
    },
  };
}

/** Taking a device from the host needs more rights than running VMs on it. */
function requireDevices(
  caller: Caller,
  config: Pick<VmConfigInput, 'devices' | 'manifest'> | null | undefined,
): void {
  const asked = [config?.devices, config?.manifest?.devices];
  if (asked.some((devices) => (devices?.pci_passthrough?.length ?? 0) > 0)) {
    requireScope(caller, 'admin', 'A VM with PCI devices');
  }
}

/** Runs `work`; errors lose the names that the caller may not see. */
async function quiet<T>(caller: Caller, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw withoutOthers(caller, error);
  }
}

function quietNow<T>(caller: Caller, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw withoutOthers(caller, error);
  }
}

function withoutOthers(caller: Caller, error: unknown): unknown {
  const namesOthers = error instanceof VolantError && NAMES_OTHERS.includes(error.code);
  return namesOthers && caller.prefix !== ''
    ? new VolantError(error.code, undefined, { cause: error })
    : error;
}
