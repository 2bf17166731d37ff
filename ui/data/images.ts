// ui, data: container images on the host. A daemon without them answers ROUTE_NOT_FOUND, which pages tell.

import type { ImageList } from '../../src/client/types.ts';
import { api, readJson } from './api.ts';
import { subscribe } from './event-feed.ts';

export type Pull = ImageList['pulls'][number];

export const readImages = (signal: AbortSignal): Promise<ImageList> =>
  readJson('/api/v1/images', signal);

/** Calls `onNews` after each event that may change the list. Returns a function that ends it. */
export function followImages(onNews: () => void): () => void {
  return subscribe({
    onResync: onNews,
    onEvent: ({ type }) => {
      if (/^(MEDIA_(DOWNLOADING|READY|FAILED)|IMAGE_REMOVED)$/.test(type)) onNews();
    },
  });
}

/** Resolves when the image can be used. `tell` is given how far the pull is, as the daemon says it. */
export async function pullImage(
  name: string,
  digest: string,
  tell: (text: string) => void,
): Promise<void> {
  const end = subscribe({
    onResync: () => undefined,
    onEvent: ({ type, name: subject, message = '' }) => {
      if (type === 'MEDIA_DOWNLOADING' && subject === name) tell(message);
    },
  });
  try {
    await api().images.pull(name, digest === '' ? {} : { digest });
  } finally {
    end();
  }
}
