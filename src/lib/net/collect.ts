// lib, net: reads the body of an answer into memory, up to a bound.

export interface Collected {
  readonly bytes: Buffer;
  /** false: `bytes` is only the beginning, because the body exceeds the bound or broke. */
  readonly isWhole: boolean;
}

/**
 * Reads until the end or the bound, and no further. Rejects with the body's error when it breaks, unless `isEnough`
 * accepts the part that was read.
 */
export async function collect(
  body: AsyncIterable<Uint8Array>,
  bytesMax: number,
  isEnough: (error: unknown) => boolean = () => false,
): Promise<Collected> {
  const chunks: Uint8Array[] = [];
  const part = (isWhole: boolean) => ({ bytes: Buffer.concat(chunks), isWhole });
  let leftBytes = bytesMax;
  try {
    for await (const chunk of body) {
      chunks.push(chunk.subarray(0, leftBytes));
      if (chunk.length > leftBytes) return part(false);
      leftBytes -= chunk.length;
    }
  } catch (error) {
    if (!isEnough(error)) throw error;
    return part(false);
  }
  return part(true);
}
