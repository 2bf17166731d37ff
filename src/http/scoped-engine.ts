// http: the engine as one caller may use it. Every member of Engine is here, so that a new one cannot
// be added without a decision who may use it. Scopes of operations are checked before: see callers.ts.

import type { Engine } from '../engine/engine-api.ts';
import { type ErrorCode, VolantError } from '../lib/errors.ts';
import type { VmConfigInput } from '../schema/vm-config.ts';
import { type Caller, requireName, requireScope, seesEvent } from './callers.ts';

/** Errors whose messages say which VM or deployment has what was asked for. */
const NAMES_OTHERS: readonly ErrorCode[] = ['PORT_TAKEN', 'ADDRESS_TAKEN', 'DEVICE_OWNED'];

/** The engine itself for who may do everything. */
export function scopedEngine(engine: Engine, caller: Caller): Engine {
  if (caller.prefix === '' && caller.scope === 'admin') return engine;
  return {
    vms: scopedVms(engine.vms, caller),
    configs: scopedConfigs(engine.configs, caller),
    deployments: scopedDeployments(engine.deployments, caller),
    agents: {
      connection: (name) => engine.agents.connection(named(caller, name)),
      action: (name, plugin, action) => engine.agents.action(named(caller, name), plugin, action),
      workloadUrl: (name) => engine.agents.workloadUrl(named(caller, name)),
    },
    consoles: {
      attach: (name, viewer) => engine.consoles.attach(named(caller, name), viewer),
      past: (name) => engine.consoles.past(named(caller, name)),
    },
    events: scopedEvents(engine.events, caller),
    system: scopedSystem(engine, caller),
    idempotency: {
      // Two callers who choose the same key do not mean the same request.
      run: (key, fingerprint, carryOut) =>
        engine.idempotency.run(`${caller.name} ${key}`, fingerprint, carryOut),
    },
    // Nobody's own; the operations' scopes say enough.
    plugins: engine.plugins,
    artifacts: engine.artifacts,
    devices: engine.devices,
  };
}

function named(caller: Caller, name: string): string {
  requireName(caller, name);
  return name;
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
    list: (query) => vms.list({ ...query, namePrefix: caller.prefix }),
    start: async (name, ...rest) => quiet(caller, vms.start(named(caller, name), ...rest)),
    stop: async (name, ...rest) => quiet(caller, vms.stop(named(caller, name), ...rest)),
    restart: async (name, ...rest) => quiet(caller, vms.restart(named(caller, name), ...rest)),
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
    remove: async (name, ...rest) => deployments.remove(named(caller, name), ...rest),
  };
}

/** A page holds at most as many events as were looked at, so that nobody's question costs more. */
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
      // What no VM has is for who may see all of them.
      const isSeen = (name: string | null) =>
        caller.prefix === '' || name?.startsWith(caller.prefix);
      return {
        ...report,
        differences: report.differences.filter(({ vm }) => isSeen(vm)),
        in_progress: report.in_progress.filter(isSeen),
      };
    },
    backup: () => {
      // It has everybody's VMs in it.
      requireName(caller, '');
      return system.backup();
    },
    readDocument: (path) => system.readDocument(path),
    documentToJson: (text) => system.documentToJson(text),
    summary: () => system.summary(caller.prefix),
    status: async () => {
      const { total } = vms.list({ ...none, namePrefix: caller.prefix });
      return { ...(await system.status()), vm_count: total };
    },
  };
}

/** To take a device from the host is more than to run VMs on it. */
function requireDevices(
  caller: Caller,
  config: Pick<VmConfigInput, 'devices' | 'manifest'> | null | undefined,
): void {
  const asked = [config?.devices, config?.manifest?.devices];
  if (asked.some((devices) => (devices?.pci_passthrough?.length ?? 0) > 0)) {
    requireScope(caller, 'admin', 'A VM with PCI devices');
  }
}

/** What went wrong without the names of what the caller may not see. */
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
  const tells = error instanceof VolantError && NAMES_OTHERS.includes(error.code);
  return tells && caller.prefix !== ''
    ? new VolantError(error.code, undefined, { cause: error })
    : error;
}
