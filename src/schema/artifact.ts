// schema: records about the files of a plugin's versions.

import { type Static, Type } from 'typebox';
import { Int64, Timestamp } from './parts.ts';

const Identifier = (description: string) =>
  Type.String({ minLength: 1, maxLength: 128, description });
const Note = (description: string) => Type.String({ maxLength: 4096, description });

const notes = {
  kind: Note('Kind of file, such as initramfs, rootfs or kernel'),
  source_url: Note('Where the file came from'),
  checksum: Note('Checksum of the file'),
  format: Note('Format, such as raw or qcow2'),
  local_path: Note('Path of the file on the host'),
  size_bytes: Int64(),
};

export const ArtifactInputSchema = Type.Object(
  {
    version: Identifier('Version of the plugin'),
    artifact_name: Identifier('Unique within the version'),
    kind: Type.Optional(notes.kind),
    source_url: Type.Optional(notes.source_url),
    checksum: Type.Optional(notes.checksum),
    format: Type.Optional(notes.format),
    local_path: Type.Optional(notes.local_path),
    size_bytes: Type.Optional(notes.size_bytes),
  },
  {
    $id: 'ArtifactInput',
    description: 'A record about a file of a plugin version; the daemon does not read the file',
  },
);

export const ArtifactSchema = Type.Object(
  {
    plugin: Type.String(),
    version: Type.String(),
    artifact_name: Type.String(),
    ...notes,
    created_at: Timestamp(),
    updated_at: Timestamp(),
  },
  { $id: 'Artifact', description: 'A record about a file of a plugin version' },
);

export type ArtifactInput = Static<typeof ArtifactInputSchema>;
export type Artifact = Static<typeof ArtifactSchema>;
