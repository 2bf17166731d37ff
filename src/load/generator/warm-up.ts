// load, generator: requests before the first phase. Node compiles the code of a request while it runs the first few hundred,
// and each takes several times as long as a later one; without this they are the slowest percent of a short run.

import type { VolantClient } from '../../client/client.ts';
import { LOAD_LIMITS } from '../load-limits.ts';

const AT_ONCE = 4;

/** Asks for the health of the daemon. An error ends it without a word: the first phase meets the same daemon and reports it. */
export async function warmUp(client: VolantClient): Promise<void> {
  const signal = AbortSignal.timeout(LOAD_LIMITS.warmUpMs);
  let left = LOAD_LIMITS.warmUpRequests;
  const askOneByOne = async () => {
    for (; left > 0; left -= 1) await client.system.health({ signal });
  };
  await Promise.allSettled(Array.from({ length: AT_ONCE }, askOneByOne));
}
