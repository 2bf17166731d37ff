// schema, operations: container images on this host.

import { LIMITS } from '../../config/limits.ts';
import { ImageListSchema, ImageSchema, PullImageSchema } from '../image.ts';
import { errors, type Operation } from './operation.ts';

export const IMAGE_OPERATIONS = {
  listImages: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/images',
    tags: ['images'],
    summary: 'List container images',
    description: 'The images that are on this host, by their first name, and the pulls under way.',
    answers: {
      200: { description: 'Images and pulls', schema: ImageListSchema },
      ...errors(500, 503),
    },
  },
  pullImage: {
    scope: 'admin',
    method: 'POST',
    path: '/api/v1/images',
    tags: ['images'],
    summary: 'Pull a container image',
    description:
      'Asks the registry what the name means now, also if an image of this name is here, and answers when its root disk is made. VMs keep the image that they were made of. A pull that takes more than four minutes is answered with 408 and continues; the same request joins it.',
    request: { schema: PullImageSchema, bytesMax: LIMITS.bodyBytesMax },
    answers: {
      200: { description: 'The image is on this host', schema: ImageSchema },
      ...errors(400, 408, 413, 500, 502, 503),
    },
  },
  getImage: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/images/{image}',
    tags: ['images'],
    summary: 'Get a container image',
    description: 'By its digest or by a name, percent-encoded.',
    answers: { 200: { description: 'The image', schema: ImageSchema }, ...errors(404, 500, 503) },
  },
  removeImage: {
    scope: 'admin',
    method: 'DELETE',
    path: '/api/v1/images/{image}',
    tags: ['images'],
    summary: 'Remove a container image',
    description: 'With all its names. An image that VMs are made of is not removed.',
    answers: { 204: { description: 'Removed' }, ...errors(404, 409, 500, 503) },
  },
} as const satisfies Record<string, Operation>;
