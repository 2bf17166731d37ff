// schema: a change of a VM's config, and the envelope around configs in answers.

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
  MetadataService,
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

/** An absent member is unchanged. null removes a member if the config is valid without it, and is ignored otherwise. */
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
    metadata_service: Type.Optional(Nullable(MetadataService)),
  },
  { $id: 'ConfigPatch', description: 'Members to change; null removes a member' },
);

export type ConfigPatch = Static<typeof ConfigPatchSchema>;

export const ConfigEnvelopeSchema = Type.Object(
  {
    version: Int64({ minimum: 1, description: 'Counts from 1' }),
    updated_at: Timestamp(),
    config: VmConfigSchema,
    pending_restart: Type.Boolean({
      description: 'true while the VM runs with an older version; the next start uses this one',
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
