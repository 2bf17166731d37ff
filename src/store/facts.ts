// store: reads the version and the home id of a state without opening it as a store.

import { openEnvToRead } from './env.ts';

/** The facts of a state. */
export interface StateFacts {
  /** null: no daemon wrote this state. */
  readonly version: number | null;
  readonly homeId: string | null;
}

/** Reads them. The state must have passed the check of integrity.ts. */
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
