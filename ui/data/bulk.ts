// ui, data: one action on many VMs: a few requests at a time, so that the browser has connections left for everything else.

/** A browser opens six connections to one host, and the stream of events has one of them. */
const PARALLEL_MAX = 3;

export interface BulkResult {
  readonly done: number;
  /** What went wrong, by the name of the VM. */
  readonly failures: ReadonlyMap<string, string>;
}

/** Runs `act` for each name. `onProgress` is called after each. Never rejects. */
export async function forEachVm(
  names: readonly string[],
  act: (name: string) => Promise<unknown>,
  onProgress: (done: number) => void,
): Promise<BulkResult> {
  const waiting = [...names];
  const failures = new Map<string, string>();
  let ended = 0;
  const work = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      try {
        await act(name);
      } catch (error) {
        failures.set(name, error instanceof Error ? error.message : String(error));
      }
      ended += 1;
      onProgress(ended);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_MAX }, work));
  return { done: ended - failures.size, failures };
}
