// engine, metadata: which VMs have a metadata service, and what it shows a guest of its own VM. Nothing of the host, of other
// VMs or of keys is in it. Pure.

import { toTimestamp } from '../../lib/clock.ts';
import { GUEST_LIMITS } from '../../schema/rules/guest-limits.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import { publishedPortsOf } from '../published-ports/published-ports.ts';
import type { VmRecord } from '../records.ts';

/** The part of the document's size that is reserved for members with other bounds. */
const OTHER_MEMBERS_BYTES = 16 * 1024;

/** The config counts first, then the manifest. */
export function hasMetadataService({ metadata_service, manifest }: VmConfig): boolean {
  return metadata_service ?? manifest.metadata_service ?? false;
}

type ShownRecord = Pick<VmRecord, 'id' | 'name' | 'leases' | 'replica' | 'deadline'>;

/** The document that the guest gets, as JSON. `config` is the VM's newest one. */
export function metadataDocument(
  { id, name, leases, replica, deadline }: ShownRecord,
  config: VmConfig,
): string {
  const { manifest, metadata = {} } = config;
  const ports = publishedPortsOf(config, replica).map(({ port, hostPort, protocol }) => ({
    port,
    host_port: hostPort,
    protocol,
  }));
  return JSON.stringify({
    name,
    id,
    plugin: config.plugin,
    labels: manifest.labels,
    metadata,
    ...(leases.ipAddress === null ? {} : { ip_address: leases.ipAddress }),
    ports,
    ...(deadline ? { deadline: toTimestamp(deadline.atMs) } : {}),
    ...(replica === undefined ? {} : { deployment: replica.deployment, replica: replica.index }),
  });
}

/** Why a VM cannot have the service with this config, by field; empty if it can or has none. */
export function metadataProblems(config: VmConfig): Record<string, string> {
  if (!hasMetadataService(config)) return {};
  const problems: Record<string, string> = {};
  const { metadataPort, metadataBytesMax } = GUEST_LIMITS;
  const { manifest, metadata = {} } = config;
  const bytesMax = metadataBytesMax - OTHER_MEMBERS_BYTES;
  if (Buffer.byteLength(JSON.stringify([manifest.labels, metadata])) > bytesMax) {
    problems['metadata'] =
      `must have at most ${bytesMax} bytes as JSON, with the labels of the manifest: the metadata service shows no more`;
  }
  const isTaken = `port ${metadataPort} of the guest is that of its metadata service`;
  const isPublished = publishedPortsOf(config, undefined).some(
    ({ port, protocol }) => port === metadataPort && protocol === 'tcp',
  );
  if (isPublished) problems['expose'] = isTaken;
  const [, port] = /^http:\/\/[^/:]*:(\d+)/.exec(manifest.workload.base_url ?? '') ?? [];
  if (Number(port) === metadataPort) problems['manifest.workload.base_url'] = isTaken;
  return problems;
}
