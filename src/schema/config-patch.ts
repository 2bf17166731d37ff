// schema: the change of a VM's config, and the envelope that configs are shown in.

import { type Static, Type } from 'typebox';
import { DRY_RUN_MEMBERS } from './dry-run.ts';
import {
  CloudInitSchema,
  DeviceConfigSchema,
  InitramfsSchema,
  ManifestSchema,
  NetworkConfigSchema,
  RootFsSchema,
} from './manifest.ts';
import {
  Autostart,
  GraceSeconds,
  Int32,
  Int64,
  MapOf,
  Nullable,
  Timestamp,
  Warnings,
} from './parts.ts';
import { ApiEndpointSchema, ExposeSchema, VmConfigSchema } from './vm-config.ts';

const Resource = Int32({ description: '0 means: keep' });

const ResourcesPatchSchema = Type.Object(
  {
    cpu_cores: Type.Optional(Nullable(Resource)),
    memory_mb: Type.Optional(Nullable(Resource)),
  },
  { $id: 'ResourcesPatch' },
);

const ApiPatchSchema = Type.Object(ApiEndpointSchema.properties, { $id: 'APIPatch' });

/** Absent keeps a member; null removes it where the config can be without it, and keeps it elsewhere. */
export const ConfigPatchSchema = Type.Object(
  {
    expected_version: Type.Optional(
      Int64({ minimum: 1, description: 'Change only this version, as If-Match does' }),
    ),
    plugin: Type.Optional(Nullable(Type.String({ description: 'Ignored: a VM keeps its plugin' }))),
    runtime: Type.Optional(Nullable(Type.String())),
    kernel_cmdline: Type.Optional(Nullable(Type.String())),
    kernel_override: Type.Optional(Nullable(Type.String())),
    resources: Type.Optional(Nullable(ResourcesPatchSchema)),
    api: Type.Optional(Nullable(ApiPatchSchema)),
    manifest: Type.Optional(Nullable(ManifestSchema)),
    devices: Type.Optional(Nullable(DeviceConfigSchema)),
    metadata: Type.Optional(Nullable(MapOf(Type.Unknown()))),
    expose: Type.Optional(Nullable(Type.Array(ExposeSchema))),
    cloud_init: Type.Optional(Nullable(CloudInitSchema)),
    network: Type.Optional(Nullable(NetworkConfigSchema)),
    initramfs: Type.Optional(Nullable(InitramfsSchema)),
    rootfs: Type.Optional(Nullable(RootFsSchema)),
    stop_grace_seconds: Type.Optional(Nullable(GraceSeconds)),
    autostart: Type.Optional(Nullable(Autostart)),
  },
  { $id: 'ConfigPatch', description: 'Members to change; null removes' },
);

export type ConfigPatch = Static<typeof ConfigPatchSchema>;

export const ConfigEnvelopeSchema = Type.Object(
  {
    version: Int64({ minimum: 1, description: 'Counts from 1' }),
    updated_at: Timestamp(),
    config: VmConfigSchema,
    pending_restart: Type.Boolean({
      description: 'true while the VM runs with an older version; the next start takes this one',
    }),
    warnings: Type.Optional(Warnings),
    ...DRY_RUN_MEMBERS,
  },
  { $id: 'ConfigEnvelope', description: 'One version of a config' },
);

export type ConfigEnvelope = Static<typeof ConfigEnvelopeSchema>;

export const ConfigVersionSchema = Type.Object(
  {
    id: Int64(),
    version: Int64({ minimum: 1 }),
    updated_at: Timestamp(),
    config: VmConfigSchema,
  },
  { $id: 'ConfigVersion', description: 'A version of a config' },
);

export const ConfigHistorySchema = Type.Array(ConfigVersionSchema);

export type ConfigHistory = Static<typeof ConfigHistorySchema>;
