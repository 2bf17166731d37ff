// schema: what is recorded about the files of a plugin's versions.

import { type Static, Type } from 'typebox';

const Identifier = (description: string) =>
  Type.String({ minLength: 1, maxLength: 128, description });
const Note = (description: string) => Type.String({ maxLength: 4096, description });

const notes = {
  kind: Note('Such as initramfs, rootfs or kernel'),
  source_url: Note('Where it came from'),
  checksum: Note('Of its bytes'),
  format: Note('Such as raw or qcow2'),
  local_path: Note('Where it is on the host'),
  // Programs read it as a 64-bit integer, or as a double: beyond 2^53 - 1 it would not be the same for all.
  size_bytes: Type.Integer({ format: 'int64', minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
};

export const ArtifactInputSchema = Type.Object(
  {
    version: Identifier('Version of the plugin'),
    artifact_name: Identifier('Unique in its version'),
    kind: Type.Optional(notes.kind),
    source_url: Type.Optional(notes.source_url),
    checksum: Type.Optional(notes.checksum),
    format: Type.Optional(notes.format),
    local_path: Type.Optional(notes.local_path),
    size_bytes: Type.Optional(notes.size_bytes),
  },
  { description: 'A file of a version of a plugin; the daemon keeps the record and reads no file' },
);

export const ArtifactSchema = Type.Object(
  {
    plugin: Type.String(),
    version: Type.String(),
    artifact_name: Type.String(),
    ...notes,
    created_at: Type.String({ format: 'date-time' }),
    updated_at: Type.String({ format: 'date-time' }),
  },
  { description: 'The record of a file of a version of a plugin' },
);

export type ArtifactInput = Static<typeof ArtifactInputSchema>;
export type Artifact = Static<typeof ArtifactSchema>;
