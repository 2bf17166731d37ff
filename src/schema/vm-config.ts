// schema: the config of a VM: its desired settings, in addition to the plugin's manifest.

import { type Static, Type } from 'typebox';
import {
  CloudInitSchema,
  DeviceConfigSchema,
  InitramfsSchema,
  type Manifest,
  ManifestSchema,
  NetworkConfigSchema,
  ResourcesSchema,
  RootFsSchema,
} from './manifest.ts';
import {
  API_HOST_PATTERN,
  API_PORT_PATTERN,
  Autostart,
  Documented,
  GraceSeconds,
  Int32,
  MapOf,
  MetadataService,
  Nullable,
  Text,
  Word,
} from './parts.ts';

export const ApiEndpointSchema = Type.Object(
  {
    host: Type.Optional(Text(API_HOST_PATTERN)),
    port: Type.Optional(Text(API_PORT_PATTERN)),
  },
  { $id: 'API' },
);

/** Absent and 0 get the same error, from a rule with a clear message. */
const Port = Documented(Int32(), { minimum: 1, maximum: 65_535 });

export const ExposeSchema = Type.Object(
  {
    name: Type.Optional(Type.String()),
    protocol: Type.Optional(Word(['tcp', 'udp'], 'tcp when absent')),
    port: Type.Optional(Port),
    host_port: Type.Optional(Port),
    mode: Type.Optional(
      Word(
        ['bridged', 'bridge', 'vsock', 'dhcp'],
        'Kept, not used: how a connection gets to the guest follows from its network',
      ),
    ),
    balanced: Type.Optional(
      Type.Boolean({
        description:
          'One published port for all replicas of a deployment, balanced round robin over the ready ones. Without it, replica N gets host_port + N - 1.',
      }),
    ),
  },
  { $id: 'Expose' },
);

export const VmConfigSchema = Type.Object(
  {
    plugin: Type.Optional(Type.String()),
    runtime: Type.Optional(Type.String()),
    kernel_cmdline: Type.Optional(Type.String()),
    kernel_override: Type.Optional(Type.String()),
    resources: Type.Optional(ResourcesSchema),
    api: Type.Optional(ApiEndpointSchema),
    manifest: Type.Optional(Nullable(ManifestSchema)),
    devices: Type.Optional(Nullable(DeviceConfigSchema)),
    metadata: Type.Optional(MapOf(Type.Unknown())),
    expose: Type.Optional(Type.Array(ExposeSchema)),
    cloud_init: Type.Optional(Nullable(CloudInitSchema)),
    network: Type.Optional(Nullable(NetworkConfigSchema)),
    initramfs: Type.Optional(Nullable(InitramfsSchema)),
    rootfs: Type.Optional(Nullable(RootFsSchema)),
    stop_grace_seconds: Type.Optional(Nullable(GraceSeconds)),
    autostart: Type.Optional(Nullable(Autostart)),
    metadata_service: Type.Optional(Nullable(MetadataService)),
  },
  { $id: 'Config', description: 'The desired state of a VM' },
);

/** As a client sends it. */
export type VmConfigInput = Static<typeof VmConfigSchema>;

/** As it is stored: resolved once, and complete enough to start the VM without reading the plugin again. */
export type VmConfig = Omit<
  VmConfigInput,
  'plugin' | 'runtime' | 'resources' | 'api' | 'manifest'
> & {
  readonly plugin: string;
  readonly runtime: string;
  readonly resources: { readonly cpu_cores: number; readonly memory_mb: number };
  readonly api: { readonly host: string; readonly port: string };
  readonly manifest: Manifest;
};
