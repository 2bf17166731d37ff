// schema: the change of a VM's config, and the envelope that configs are shown in.

import { type Static, Type } from 'typebox';
import {
  CloudInitSchema,
  DeviceConfigSchema,
  InitramfsSchema,
  ManifestSchema,
  NetworkConfigSchema,
  RootFsSchema,
} from './manifest.ts';
import { GraceSeconds, MapOf, Nullable } from './parts.ts';
import { ApiEndpointSchema, ExposeSchema, VmConfigSchema } from './vm-config.ts';

const Resource = Type.Integer({ minimum: 0, description: '0 means: keep' });

/** Absent keeps a member; null removes it where the config can be without it, and keeps it elsewhere. */
export const ConfigPatchSchema = Type.Object(
  {
    expected_version: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Change only this version, as If-Match does' }),
    ),
    plugin: Type.Optional(Nullable(Type.String({ description: 'Ignored: a VM keeps its plugin' }))),
    runtime: Type.Optional(Nullable(Type.String())),
    kernel_cmdline: Type.Optional(Nullable(Type.String())),
    kernel_override: Type.Optional(Nullable(Type.String())),
    resources: Type.Optional(
      Nullable(
        Type.Object({
          cpu_cores: Type.Optional(Nullable(Resource)),
          memory_mb: Type.Optional(Nullable(Resource)),
        }),
      ),
    ),
    api: Type.Optional(Nullable(ApiEndpointSchema)),
    manifest: Type.Optional(Nullable(ManifestSchema)),
    devices: Type.Optional(Nullable(DeviceConfigSchema)),
    metadata: Type.Optional(Nullable(MapOf(Type.Unknown()))),
    expose: Type.Optional(Nullable(Type.Array(ExposeSchema))),
    cloud_init: Type.Optional(Nullable(CloudInitSchema)),
    network: Type.Optional(Nullable(NetworkConfigSchema)),
    initramfs: Type.Optional(Nullable(InitramfsSchema)),
    rootfs: Type.Optional(Nullable(RootFsSchema)),
    stop_grace_seconds: Type.Optional(Nullable(GraceSeconds)),
  },
  { description: 'Members to change; null removes' },
);

export type ConfigPatch = Static<typeof ConfigPatchSchema>;

export const ConfigEnvelopeSchema = Type.Object(
  {
    version: Type.Integer({ description: 'Counts from 1' }),
    updated_at: Type.String({ format: 'date-time' }),
    config: VmConfigSchema,
    pending_restart: Type.Boolean({
      description: 'true while the VM runs with an older version; the next start takes this one',
    }),
  },
  { description: 'One version of a config' },
);

export type ConfigEnvelope = Static<typeof ConfigEnvelopeSchema>;

export const ConfigHistorySchema = Type.Array(
  Type.Object({
    id: Type.Integer({ format: 'int64' }),
    version: Type.Integer(),
    updated_at: Type.String({ format: 'date-time' }),
    config: VmConfigSchema,
  }),
);

export type ConfigHistory = Static<typeof ConfigHistorySchema>;
