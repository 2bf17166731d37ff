// schema: the plugin manifest, the description of what runs in a VM. Shape only; further rules are in
// rules/manifest-rules.ts.

import { type Static, Type } from 'typebox';
import { FILE_SYSTEMS } from '../lib/formats/image-formats.ts';
import { EgressSchema } from './egress.ts';
import {
  DEVICE_PATTERN_PATTERN,
  Documented,
  GraceSeconds,
  Int32,
  IPV4_PATTERN,
  MapOf,
  MetadataService,
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

/** Resources of a manifest and of a config: the same shape under the two names that the contract has. */
export const ResourceSpecSchema = Type.Object(resources, { $id: 'ResourceSpec' });
export const ResourcesSchema = Type.Object(resources, { $id: 'Resources' });

const Format = Word(
  ['raw', 'qcow2', ...FILE_SYSTEMS],
  'raw when absent; the name of a file system means a raw image that contains it',
);
const Checksum = Text('^(sha256:)?[0-9a-fA-F]{64}$|^$', 'sha256: and 64 hexadecimal digits');

/** What earlier manifests say of ports; absent and 0 are alike. */
const DeclaredPortSchema = Type.Object(
  {
    port: Type.Optional(Documented(Int32(), { minimum: 1, maximum: 65_535 })),
    protocol: Type.Optional(Word(['tcp', 'udp'], 'tcp when absent')),
    host_port: Type.Optional(
      Int32({
        description:
          'The port of the host that leads to it, where the config has no expose. Without it the port is only announced',
      }),
    ),
  },
  { $id: 'DeclaredPort' },
);

export const NetworkConfigSchema = Type.Object(
  {
    mode: Type.Optional(Word(NETWORK_MODES)),
    subnet: Type.Optional(Type.String()),
    gateway: Type.Optional(Type.String()),
    auto_assign: Type.Optional(Type.Boolean()),
    expose: Type.Optional(
      Type.Array(DeclaredPortSchema, { description: 'Ports that the workload listens on' }),
    ),
    egress: Type.Optional(Nullable(EgressSchema)),
    ip_address: Type.Optional(
      Text(
        orEmpty(IPV4_PATTERN),
        'The fixed address of the VM; 409 with the name of its owner if it is in use',
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
      Word(
        ['base64'],
        'base64 if the content is base64-encoded bytes; otherwise the content is text',
      ),
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

export const WORKLOAD_TYPES = ['http', 'process', 'exec', 'grpc', 'none'] as const;

export const RESTART_POLICIES = ['always', 'on-failure', 'never'] as const;

export const WorkloadSchema = Type.Object(
  {
    type: Type.Optional(
      Word(
        WORKLOAD_TYPES,
        'process, exec and grpc are alike: a program of which nothing is known but how it is started. none: the VM runs no program of its own, and the other members of the workload are refused; it is there for execs and files',
      ),
    ),
    base_url: Type.Optional(Type.String({ description: 'Required where the type is http' })),
    entrypoint: Type.Optional(
      Type.Array(Type.String(), {
        description: 'Replaces the entrypoint and the command of a container image',
      }),
    ),
    args: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'Arguments after the entrypoint; they replace the command of a container image',
      }),
    ),
    env: Type.Optional(StringMap),
    workdir: Type.Optional(Type.String()),
    user: Type.Optional(
      Type.String({
        description:
          'User and group in the guest, as name or number: www-data, 1000:1000; root if absent',
      }),
    ),
    stop_signal: Type.Optional(
      Type.String({ description: 'Signal that asks the program to end; SIGTERM if absent' }),
    ),
    restart: Type.Optional(
      Word(
        RESTART_POLICIES,
        'What follows when the program ends: it is started again always (also when absent), on-failure (its status is not 0), or never. The VM stops if it is not started again',
      ),
    ),
  },
  { $id: 'Workload' },
);

export const HEALTH_CHECK_TYPES = ['http', 'tcp', 'exec', 'none'] as const;

export const HealthCheckSchema = Type.Object(
  {
    type: Type.Optional(Word(HEALTH_CHECK_TYPES, 'If absent, it follows from the other members')),
    endpoint: Type.Optional(
      Type.String({ description: 'http: the path below base_url that answers 2xx if healthy' }),
    ),
    port: Type.Optional(
      Int32({ description: 'tcp: the port of the guest that accepts connections if healthy' }),
    ),
    command: Type.Optional(
      Type.Array(Type.String(), {
        description: 'exec: a command in the guest that ends with status 0 if healthy',
      }),
    ),
    timeout_ms: Type.Optional(TimeoutMs),
    interval_ms: Type.Optional(TimeoutMs),
    probe_timeout_ms: Type.Optional(TimeoutMs),
    retries: Type.Optional(
      Int32({
        description: 'Number of consecutive failed checks that make it unhealthy; 0 means: not set',
      }),
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
      Type.String({ description: 'URL of a JSON Schema for editors; stored unchanged' }),
    ),
    schema_version: Type.Optional(Type.String()),
    name: Type.Optional(Text(NAME_PATTERN, `A name: ${NAME_RULE}`)),
    version: Type.Optional(Type.String()),
    runtime: Type.Optional(Text('^[A-Za-z0-9._-]{0,63}$')),
    image: Type.Optional(
      Type.String({
        description:
          'The container image that the VM runs, such as nginx:1.27 or oci-archive:/path; a note if there is a rootfs or an initramfs',
      }),
    ),
    image_digest: Type.Optional(
      Type.String({ description: 'Digest of the image or of its index; sha256: and 64 digits' }),
    ),
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
    metadata_service: Type.Optional(MetadataService),
  },
  { $id: 'Manifest', description: 'What runs in a VM: boot media, workload, resources' },
);

export type CloudInitDocInput = Static<typeof CloudInitDocSchema>;
export type CloudInitInput = Static<typeof CloudInitSchema>;

/** As a client sends it: every member may be missing, some may be null. */
export type ManifestInput = Static<typeof ManifestSchema>;

export type Workload = {
  readonly type: (typeof WORKLOAD_TYPES)[number];
  /** Where it listens in the guest. One that is not known to serve HTTP may have none. */
  readonly base_url?: string;
  /** Empty: that of the container image, or none where the type is none. */
  readonly entrypoint: string[];
  readonly args?: string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly workdir?: string;
  readonly user?: string;
  readonly stop_signal?: string;
  /** Absent: always. */
  readonly restart?: (typeof RESTART_POLICIES)[number];
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

/** As it is stored and returned: checked, in normal form, with all required members. */
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
