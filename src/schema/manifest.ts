// schema: the plugin manifest, the description of what runs in a VM. Shape only; what the rules of a
// manifest are beyond its shape stands in manifest-rules.ts.

import { type Static, Type } from 'typebox';
import { GraceSeconds, MapOf, Nullable, StringMap, TimeoutMs } from './parts.ts';

export const NETWORK_MODES = ['bridged', 'vsock', 'dhcp'] as const;

export const ResourcesSchema = Type.Object({
  cpu_cores: Type.Optional(Type.Integer({ minimum: 0, description: '0 means: not set' })),
  memory_mb: Type.Optional(Type.Integer({ minimum: 0, description: 'MiB; 0 means: not set' })),
});

export const NetworkConfigSchema = Type.Object({
  mode: Type.Optional(Type.String()),
  subnet: Type.Optional(Type.String()),
  gateway: Type.Optional(Type.String()),
  auto_assign: Type.Optional(Type.Boolean()),
  ip_address: Type.Optional(
    Type.String({
      description:
        'The address that this VM shall have; 409 with the name of its owner when it is taken',
    }),
  ),
});

export const CloudInitDocSchema = Type.Object({
  inline: Type.Optional(Type.Boolean()),
  content: Type.Optional(Type.String()),
  encoding: Type.Optional(
    Type.String({ description: 'base64 where the content is that of bytes; else it is the text' }),
  ),
  path: Type.Optional(Type.String()),
});

export const CloudInitSchema = Type.Object({
  datasource: Type.Optional(Type.String()),
  seed_mode: Type.Optional(Type.String()),
  user_data: Type.Optional(CloudInitDocSchema),
  meta_data: Type.Optional(CloudInitDocSchema),
  network_config: Type.Optional(CloudInitDocSchema),
});

const IMAGE_FORMAT =
  'raw or qcow2; ext2, ext3, ext4, xfs, btrfs, squashfs or erofs mean a raw image that is such a file system';

export const RootFsSchema = Type.Object({
  url: Type.Optional(Type.String()),
  checksum: Type.Optional(Type.String()),
  format: Type.Optional(Type.String({ description: IMAGE_FORMAT })),
});

export const InitramfsSchema = Type.Object({
  url: Type.Optional(Type.String()),
  checksum: Type.Optional(Type.String()),
});

export const DiskSchema = Type.Object({
  name: Type.Optional(Type.String()),
  source: Type.Optional(Type.String()),
  checksum: Type.Optional(Type.String()),
  format: Type.Optional(Type.String({ description: IMAGE_FORMAT })),
  readonly: Type.Optional(Type.Boolean()),
  target: Type.Optional(Type.String()),
});

export const DeviceConfigSchema = Type.Object({
  pci_passthrough: Type.Optional(Type.Array(Type.String())),
  allowlist: Type.Optional(Type.Array(Type.String())),
});

export const WorkloadSchema = Type.Object({
  type: Type.Optional(Type.String()),
  base_url: Type.Optional(Type.String()),
  entrypoint: Type.Optional(Type.Array(Type.String())),
  env: Type.Optional(StringMap),
  workdir: Type.Optional(Type.String()),
});

export const HealthCheckSchema = Type.Object({
  endpoint: Type.Optional(Type.String()),
  timeout_ms: Type.Optional(TimeoutMs),
});

export const ActionSchema = Type.Object({
  description: Type.Optional(Type.String()),
  method: Type.Optional(Type.String()),
  path: Type.Optional(Type.String()),
  timeout_ms: Type.Optional(TimeoutMs),
});

export const ManifestSchema = Type.Object(
  {
    $schema: Type.Optional(
      Type.String({ description: 'Where editors find the rules of a manifest; kept as it is' }),
    ),
    schema_version: Type.Optional(Type.String()),
    name: Type.Optional(Type.String()),
    version: Type.Optional(Type.String()),
    runtime: Type.Optional(Type.String()),
    image: Type.Optional(Type.String()),
    image_digest: Type.Optional(Type.String()),
    enabled: Type.Optional(Type.Boolean()),
    openapi: Type.Optional(Type.String()),
    labels: Type.Optional(StringMap),
    resources: Type.Optional(ResourcesSchema),
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
  { description: 'What runs in a VM: boot media, workload, resources' },
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
  readonly health_check: { readonly endpoint: string; readonly timeout_ms: number };
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
