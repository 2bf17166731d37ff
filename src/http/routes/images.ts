// http, routes: container images.

import type { PullImageRequest } from '../../schema/image.ts';
import { nameIn } from '../exchange/exchange.ts';
import { empty, json } from '../exchange/reply.ts';
import { requested } from '../exchange/request-id.ts';
import type { Handlers } from '../handlers.ts';

export const imageRoutes = {
  listImages: async ({ engine }) => json(200, await engine.images.list()),
  pullImage: async ({ engine }, head, body) =>
    json(200, await engine.images.pull(body as PullImageRequest, requested(head))),
  getImage: async ({ engine }, head) => json(200, await engine.images.get(nameIn(head))),
  removeImage: async ({ engine }, head) => {
    await engine.images.remove(nameIn(head), requested(head));
    return empty(204);
  },
} satisfies Partial<Handlers>;
