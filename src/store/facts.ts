// store: what a state says of itself, without a store being made of it.

import { openEnvToRead } from './env.ts';

export interface StateFacts {
  /** null: nothing that a daemon wrote. */
  readonly version: number | null;
  readonly homeId: string | null;
}

/** Of a state that is whole: see integrity.ts. */
export async function factsOf(directory: string): Promise<StateFacts> {
  const env = openEnvToRead(directory);
  try {
    if (!env.tableNames().includes('meta')) return { version: null, homeId: null };
    const meta = new Map([...env.records('meta')].map(({ key, value }) => [key, value]));
    const [version, homeId] = [meta.get('storeVersion'), meta.get('homeId')];
    return {
      version: typeof version === 'number' ? version : null,
      homeId: typeof homeId === 'string' ? homeId : null,
    };
  } finally {
    await env.close();
  }
}
