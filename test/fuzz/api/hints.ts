// fuzz, api: what requests are about: names of one client's own, which nobody else touches, names that all share, and
// members of bodies that let an operation succeed. Without them every request would fail at the first name.

import type { Random } from '../mutate.ts';
import type { Hints, Json } from './values.ts';

/** Names that requests have in their paths and bodies. */
export interface World {
  readonly manifest: Json;
  readonly image: string;
  /** A parameter of the path. */
  parameter(name: string, operationId: string, random: Random): string;
  /** A parameter of the query or a header; undefined leaves it to its schema. */
  query(name: string, operationId: string, random: Random): string | undefined;
  vm(random: Random): string;
  deployment(random: Random): string;
  plugin(random: Random): string;
}

const OWN_NAMES = ['a', 'b', 'c', 'd', 'e'];
/** Most requests of a client are about what is its own. */
const SHARED_IN = 8;
/** Host ports that requests ask for: few enough to be taken now and then. */
const PORT_FIRST = 18_000;
const PORTS = 200;
const DEVICES = ['0000:00:00.0', '0000:01:00.0', 'ffff:ff:1f.7'];

/** Plugins that the clients do not change. */
export const STEADY_PLUGIN = 'hello';

/** The world of one client of several. */
export function worldOf(client: number, manifest: Json, image: string): World {
  const own = (kind: string) => (random: Random) =>
    random.below(SHARED_IN) === 0
      ? random.pick([`${kind}-shared`, 'no-such'])
      : `${kind}-${client}-${random.pick(OWN_NAMES)}`;
  const vm = own('vm');
  const deployment = own('set');
  const plugin = own('plug');
  return {
    manifest,
    image,
    vm,
    deployment,
    plugin,
    parameter: (name, operationId, random) => {
      if (name === 'name')
        return operationId.includes('Deployment') ? deployment(random) : vm(random);
      const isRead = /^(get|list|run)/.test(operationId);
      if (name === 'plugin')
        return isRead && random.below(3) === 0 ? STEADY_PLUGIN : plugin(random);
      return random.pick(['rootfs', 'hello', 'none', 'GrÜße', 'a b', '%']);
    },
    query: (name, _, random) => {
      if (name === 'timeout') return random.pick(['0', '1', '300', '1500']);
      if (name === 'grace_seconds') return random.pick(['0', '1']);
      if (name === 'wait') return random.pick(['accepted', 'running', 'running', 'ready']);
      if (name === 'Idempotency-Key') return `key-${client}-${random.below(1_000_000)}`;
      if (name === 'If-Match') return random.pick(['"1"', '"2"', '*', '"1", "2", "3"']);
      if (name === 'after' || name === 'Last-Event-ID') return String(random.below(500));
      if (name === 'Mcp-Protocol-Version') return '2025-06-18';
      if (name === 'version') return random.pick(['1', '2']);
      // Only the run as a whole repairs.
      if (name === 'repair') return 'false';
      return undefined;
    },
  };
}

/** Members of the bodies of an operation. */
export function bodyHints(operationId: string, random: Random, world: World): Hints {
  const isPlugin = operationId === 'installPlugin';
  const fixed: Record<string, () => unknown> = {
    name: () => {
      if (isPlugin) return world.plugin(random);
      return operationId.includes('Deployment') ? world.deployment(random) : world.vm(random);
    },
    plugin: () => STEADY_PLUGIN,
    'config.plugin': () => STEADY_PLUGIN,
    replicas: () => random.below(3),
    autostart: () => false,
    version: () => (isPlugin ? random.pick(['1', '1.0.1']) : random.pick(['1', '2'])),
    artifact_name: () => random.pick(['rootfs', 'hello', 'GrÜße', 'a b']),
    local_path: () => world.image,
    pci_addresses: () => Array.from({ length: random.below(3) }, () => random.pick(DEVICES)),
    command: () => random.pick(MCP_COMMANDS),
    method: () => random.pick(['tools/list', 'initialize', 'ping', 'tools/call', 'none']),
  };
  return (path, schema) => {
    if (path === '' && isPlugin && random.below(2) === 0) return pluginOf(random, world);
    const hint = fixed[path];
    if (hint !== undefined) return hint();
    return memberHint(path, schema, random, world, isPlugin);
  };
}

/** A manifest that can be installed, with one or the other member changed. */
function pluginOf(random: Random, world: World): unknown {
  const changes = random.pick([
    {},
    { version: '2.0.0-rc.1' },
    { labels: { a: 'Grüße', b: '' } },
    { enabled: false },
    { resources: { cpu_cores: 2, memory_mb: 96 } },
    { actions: { hello: { method: 'POST', path: '/x', timeout_ms: 100 } } },
    { stop_grace_seconds: 1 },
    { $schema: 'https://example.com/x.json' },
  ]);
  // Labels of a manifest that was read back are the daemon's own.
  return { ...world.manifest, labels: {}, name: world.plugin(random), ...changes };
}

const MCP_COMMANDS = [
  'volant.vms.list',
  'volant.system.get_capabilities',
  'volant.vms.get',
  'none',
];

function memberHint(
  path: string,
  schema: Json,
  random: Random,
  world: World,
  isPlugin: boolean,
): unknown {
  const [last = ''] = path.split('.').slice(-1);
  const isOfManifest = path.includes('manifest') || isPlugin;
  if (last === 'manifest') {
    const { labels, ...manifest } = world.manifest;
    return random.below(2) === 0 ? { ...manifest, labels: { ...labels, a: 'b' } } : undefined;
  }
  if (last === 'runtime' && !isOfManifest) return STEADY_PLUGIN;
  if (last === 'kernel_cmdline') return random.pick(['quiet', '', 'a=b c']);
  if (last === 'kernel_override') return random.below(4) === 0 ? undefined : '';
  if (last === 'cpu_cores') return 1 + random.below(2);
  if (last === 'memory_mb') return 64 + 32 * random.below(3);
  if (last === 'stop_grace_seconds') return random.below(2);
  if (last === 'host_port') return PORT_FIRST + random.below(PORTS);
  if (isOfManifest && isPlugin && random.below(8) !== 0) {
    const known = world.manifest[path];
    if (known !== undefined && path !== 'labels') return known;
  }
  if (last === 'network' && random.below(4) !== 0)
    return { mode: random.pick(['bridged', 'vsock']) };
  const isMedia = ['rootfs', 'initramfs', 'disks', 'kernel_override', 'devices'].includes(last);
  if (isMedia && random.below(4) !== 0) return schema.type === 'array' ? [] : null;
  return undefined;
}
