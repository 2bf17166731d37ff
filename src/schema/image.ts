// schema: container images on this host.

import { type Static, Type } from 'typebox';
import { Int32, Int64, StringMap, Timestamp, Warnings } from './parts.ts';

export const PullImageSchema = Type.Object(
  {
    image: Type.String({
      minLength: 1,
      description:
        'nginx:1.27, registry.example.org/app@sha256:…, or oci:, oci-archive: or docker-archive: and an absolute path',
    }),
    image_digest: Type.Optional(
      Type.String({
        description: 'Digest that the image or its index must have; sha256: and 64 digits',
      }),
    ),
  },
  { $id: 'PullImage' },
);

export const ImageSchema = Type.Object(
  {
    digest: Type.String({ description: 'Of the manifest for linux/amd64' }),
    names: Type.Array(Type.String(), { description: 'Names that meant this image last' }),
    in_use: Type.Boolean({ description: 'Disks of VMs are based on it' }),
    layers: Int32(),
    pulled_bytes: Int64({ description: 'As it was transferred' }),
    unpacked_bytes: Int64({ description: 'All its files' }),
    disk_bytes: Int64({ description: 'What its root disk takes of the disk of this host' }),
    created_at: Timestamp('When its root disk was made'),
    entrypoint: Type.Array(Type.String()),
    command: Type.Array(Type.String()),
    env: StringMap,
    user: Type.String({ description: 'Empty: root' }),
    workdir: Type.String({ description: 'Empty: /' }),
    exposed_ports: Type.Array(
      Type.Object({ port: Int32(), protocol: Type.String() }, { $id: 'ImagePort' }),
    ),
    volumes: Type.Array(Type.String()),
    labels: StringMap,
    stop_signal: Type.String(),
    warnings: Type.Optional(Warnings),
  },
  { $id: 'Image', description: 'A container image on this host, and what it says of its program' },
);

export const PullSchema = Type.Object(
  {
    image: Type.String(),
    received_bytes: Int64(),
    total_bytes: Type.Optional(Int64({ description: 'Absent if unknown' })),
  },
  { $id: 'ImagePull', description: 'A pull under way' },
);

export const ImageListSchema = Type.Object(
  { images: Type.Array(ImageSchema), pulls: Type.Array(PullSchema) },
  { $id: 'ImageList' },
);

export type PullImageRequest = Static<typeof PullImageSchema>;
export type Image = Static<typeof ImageSchema>;
export type ImageList = Static<typeof ImageListSchema>;
