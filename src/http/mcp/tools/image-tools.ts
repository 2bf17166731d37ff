// http, mcp: tools for the container images on this host. guests/run-tools.ts runs them.

import { Type } from 'typebox';
import { ImageListSchema, ImageSchema, PullImageSchema } from '../../../schema/image.ts';
import { outcomeOf, outputOf } from './outputs.ts';
import { CHANGES, defineTool, READS, REMOVES, type Tool } from './tool.ts';

const IMAGE = { image: Type.String({ description: 'Its name or digest' }) };

export const IMAGE_TOOLS: readonly Tool[] = [
  defineTool({
    name: 'volant.images.list',
    scope: 'read',
    description: 'List the container images on this host, and the pulls under way.',
    input: Type.Object({}),
    output: outputOf(ImageListSchema),
    hints: READS,
    run: ({ engine }) => engine.images.list(),
  }),
  defineTool({
    name: 'volant.images.get',
    scope: 'read',
    description: 'Show a container image on this host: its program, environment, ports and size.',
    input: Type.Object(IMAGE),
    output: outputOf(ImageSchema),
    hints: READS,
    run: ({ engine }, { image }) => engine.images.get(image),
  }),
  defineTool({
    name: 'volant.images.pull',
    scope: 'admin',
    description:
      'Bring a container image to this host. Returns when it is here; VMs that name an image pull it by themselves, too.',
    input: PullImageSchema,
    output: outputOf(ImageSchema),
    hints: CHANGES,
    run: ({ engine, cause }, request) => engine.images.pull(request, cause),
  }),
  defineTool({
    name: 'volant.images.remove',
    scope: 'admin',
    description: 'Remove a container image that no VM uses from this host.',
    input: Type.Object(IMAGE),
    output: outcomeOf('removed'),
    hints: REMOVES,
    run: async ({ engine, cause }, { image }) => {
      await engine.images.remove(image, cause);
      return { name: image, removed: true };
    },
  }),
];
