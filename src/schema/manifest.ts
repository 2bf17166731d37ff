// schema: the plugin manifest, the description of what runs in a VM. Shape only; what the rules of a
// manifest are beyond its shape stands in manifest-rules.ts.

import { type Static, Type } from 'typebox';
import { FILE_SYSTEMS } from '../lib/image-formats.ts';
import {
  DEVICE_PATTERN_PATTERN,
  GraceSeconds,
  Int32,
  IPV4_PATTERN,
  MapOf,
  NAME_PATTERN,
  NAME_RULE,
  Nullable,
  orEmpty,
  PCI_ADDRESS_PATTERN,
  StringMap,
  Text,
  TimeoutMs,
  Word,
} from './parts.ts';

export const NETWORK_MODES = ['bridged', 'vsock', 'dhcp'] as const;

const resources = {
  cpu_cores: Type.Optional(Int32({ description: '0 means: not set' })),
  memory_mb: Type.Optional(Int32({ description: 'MiB; 0 means: not set' })),
};

/** Of a manifest, and of a config: the same under the two names that the contract has. */
export const ResourceSpecSchema = Type.Object(resources, { $id: 'ResourceSpec' });
export const ResourcesSchema = Type.Object(resources, { $id: 'Resources' });

const Format = Word(
  ['raw', 'qcow2', ...FILE_SYSTEMS],
  'raw when absent; the name of a file system means a raw image that is such a one',
);
const Checksum = Text('^(sha256:)?[0-9a-fA-F]{64}$|^$', 'sha256: and 64 hexadecimal digits');

export const NetworkConfigSchema = Type.Object(
  {
    mode: Type.Optional(Word(NETWORK_MODES)),
    subnet: Type.Optional(Type.String()),
    gateway: Type.Optional(Type.String()),
    auto_assign: Type.Optional(Type.Boolean()),
    ip_address: Type.Optional(
      Text(
        orEmpty(IPV4_PATTERN),
        'The address that this VM shall have; 409 with the name of its owner when it is taken',
      ),
    ),
  },
  { $id: 'NetworkConfig' },
);

export const CloudInitDocSchema = Type.Object(
  {
    inline: Type.Optional(Type.Boolean()),
    content: Type.Optional(Type.String()),
    encoding: Type.Optional(
      Word(['base64'], 'base64 where the content is that of bytes; else it is the text'),
    ),
    path: Type.Optional(Type.String()),
  },
  { $id: 'CloudInitDoc' },
);

export const CloudInitSchema = Type.Object(
  {
    datasource: Type.Optional(Type.String()),
    seed_mode: Type.Optional(Word(['vfat'])),
    user_data: Type.Optional(CloudInitDocSchema),
    meta_data: Type.Optional(CloudInitDocSchema),
    network_config: Type.Optional(CloudInitDocSchema),
  },
  { $id: 'CloudInit' },
);

export const RootFsSchema = Type.Object(
  {
    url: Type.Optional(Type.String()),
    checksum: Type.Optional(Checksum),
    format: Type.Optional(Format),
  },
  { $id: 'RootFS' },
);

export const InitramfsSchema = Type.Object(
  {
    url: Type.Optional(Type.String()),
    checksum: Type.Optional(Checksum),
  },
  { $id: 'Initramfs' },
);

export const DiskSchema = Type.Object(
  {
    name: Type.Optional(Type.String()),
    source: Type.Optional(Type.String()),
    checksum: Type.Optional(Checksum),
    format: Type.Optional(Format),
    readonly: Type.Optional(Type.Boolean()),
    target: Type.Optional(Type.String()),
  },
  { $id: 'Disk' },
);

export const DeviceConfigSchema = Type.Object(
  {
    pci_passthrough: Type.Optional(Type.Array(Text(PCI_ADDRESS_PATTERN))),
    allowlist: Type.Optional(Type.Array(Text(DEVICE_PATTERN_PATTERN))),
  },
  { $id: 'DeviceConfig' },
);

export const WorkloadSchema = Type.Object(
  {
    type: Type.Optional(Word(['http'])),
    base_url: Type.Optional(Type.String()),
    entrypoint: Type.Optional(Type.Array(Type.String())),
    env: Type.Optional(StringMap),
    workdir: Type.Optional(Type.String()),
  },
  { $id: 'Workload' },
);

export const HEALTH_CHECK_TYPES = ['http', 'tcp', 'exec', 'none'] as const;

export const HealthCheckSchema = Type.Object(
  {
    type: Type.Optional(
      Word(HEALTH_CHECK_TYPES, 'When missing it follows from the members that are there'),
    ),
    endpoint: Type.Optional(
      Type.String({ description: 'http: the path below base_url that answers 2xx' }),
    ),
    port: Type.Optional(
      Int32({ description: 'tcp: the port of the guest that accepts connections' }),
    ),
    command: Type.Optional(
      Type.Array(Type.String(), { description: 'exec: ends with status 0 in the guest' }),
    ),
    timeout_ms: Type.Optional(TimeoutMs),
    interval_ms: Type.Optional(TimeoutMs),
    probe_timeout_ms: Type.Optional(TimeoutMs),
    retries: Type.Optional(
      Int32({ description: 'Checks in a row that must fail; 0 means: not set' }),
    ),
  },
  { $id: 'HealthCheck' },
);

export const ActionSchema = Type.Object(
  {
    description: Type.Optional(Type.String()),
    method: Type.Optional(Type.String()),
    path: Type.Optional(Type.String()),
    timeout_ms: Type.Optional(TimeoutMs),
  },
  { $id: 'Action' },
);

export const ManifestSchema = Type.Object(
  {
    $schema: Type.Optional(
      Type.String({ description: 'Where editors find the rules of a manifest; kept as it is' }),
    ),
    schema_version: Type.Optional(Type.String()),
    name: Type.Optional(Text(NAME_PATTERN, `A name: ${NAME_RULE}`)),
    version: Type.Optional(Type.String()),
    runtime: Type.Optional(Text('^[A-Za-z0-9._-]{0,63}$')),
    image: Type.Optional(Type.String()),
    image_digest: Type.Optional(Type.String()),
    enabled: Type.Optional(Type.Boolean()),
    openapi: Type.Optional(Type.String()),
    labels: Type.Optional(StringMap),
    resources: Type.Optional(ResourceSpecSchema),
    workload: Type.Optional(WorkloadSchema),
    health_check: Type.Optional(HealthCheckSchema),
    actions: Type.Optional(MapOf(ActionSchema)),
    rootfs: Type.Optional(Nullable(RootFsSchema)),
    initramfs: Type.Optional(Nullable(InitramfsSchema)),
    disks: Type.Optional(Type.Array(DiskSchema)),
    cloud_init: Type.Optional(Nullable(CloudInitSchema)),
    network: Type.Optional(Nullable(NetworkConfigSchema)),
    devices: Type.Optional(Nullable(DeviceConfigSchema)),
    stop_grace_seconds: Type.Optional(GraceSeconds),
  },
  { $id: 'Manifest', description: 'What runs in a VM: boot media, workload, resources' },
);

export type CloudInitDocInput = Static<typeof CloudInitDocSchema>;
export type CloudInitInput = Static<typeof CloudInitSchema>;

/** As a client sends it: every member may be missing, some may be null. */
export type ManifestInput = Static<typeof ManifestSchema>;

export type Workload = {
  readonly type: 'http';
  readonly base_url: string;
  readonly entrypoint: string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly workdir?: string;
};

export type HealthCheck = {
  readonly endpoint: string;
  readonly timeout_ms: number;
  readonly type?: (typeof HEALTH_CHECK_TYPES)[number];
  readonly port?: number;
  readonly command?: string[];
  readonly interval_ms?: number;
  readonly probe_timeout_ms?: number;
  readonly retries?: number;
};

/** As it is stored and given out: checked, normalised, with the required members present. */
export type Manifest = Omit<
  ManifestInput,
  | 'schema_version'
  | 'name'
  | 'version'
  | 'runtime'
  | 'enabled'
  | 'labels'
  | 'resources'
  | 'workload'
  | 'health_check'
  | 'rootfs'
  | 'initramfs'
  | 'cloud_init'
  | 'network'
  | 'devices'
> & {
  readonly schema_version: string;
  readonly name: string;
  readonly version: string;
  readonly runtime: string;
  readonly enabled: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly resources: { readonly cpu_cores: number; readonly memory_mb: number };
  readonly workload: Workload;
  readonly health_check: HealthCheck;
  readonly rootfs: {
    readonly url: string;
    readonly checksum?: string;
    readonly format:
      | 'raw'
      | 'qcow2'
      | 'ext2'
      | 'ext3'
      | 'ext4'
      | 'xfs'
      | 'btrfs'
      | 'squashfs'
      | 'erofs';
  };
  readonly initramfs: { readonly url: string; readonly checksum?: string };
  readonly cloud_init?: Static<typeof CloudInitSchema>;
  readonly network?: Static<typeof NetworkConfigSchema> & {
    readonly mode: (typeof NETWORK_MODES)[number];
  };
  readonly devices?: Static<typeof DeviceConfigSchema>;
};
