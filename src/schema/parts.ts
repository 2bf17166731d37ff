// schema: small building blocks that several nouns share.

import { type Static, type TSchema, Type } from 'typebox';
import { LIMITS } from '../config.ts';

export const NAME_CHARACTERS_MAX = 63;

/** A DNS label in lower case: VM and plugin names land in host names, file names and URLs. */
export const NAME_PATTERN = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';

/** What a name must be, in words, for descriptions and for the answer to a wrong one. */
export const NAME_RULE =
  'lower-case letters, digits and "-"; 1 to 63 characters; a letter or digit at both ends';

export const Name = Type.String({
  pattern: NAME_PATTERN,
  description: `A name: ${NAME_RULE}`,
});

/** A duration in milliseconds. A larger number than this would make a timer of Node fire at once. */
export const TimeoutMs = Type.Integer({
  minimum: 0,
  maximum: 2_147_483_647,
  format: 'int64',
  description: 'Milliseconds',
});

export const GRACE_TEXT = 'Seconds that the guest gets to power off before its hypervisor is ended';

/** How long a guest gets to power off. */
export const GraceSeconds = Type.Integer({
  minimum: 0,
  maximum: LIMITS.graceSecondsMax,
  description: GRACE_TEXT,
});

/** Absent and null mean the same for what the contract marks nullable. */
export function Nullable<T extends TSchema>(schema: T) {
  return Type.Union([schema, Type.Null()]);
}

/**
 * An object with any keys. Type.Record would check its values by the pattern `^.*$`, which no key
 * with a line break matches: such a value would pass unseen.
 */
export function MapOf<T extends TSchema>(values: T) {
  return Type.Unsafe<Record<string, Static<T>>>({ type: 'object', additionalProperties: values });
}

export const StringMap = MapOf(Type.String());

/** One of a few words. */
export function OneOf<const T extends readonly string[]>(words: T, description: string) {
  return Type.Unsafe<T[number]>({ type: 'string', enum: [...words], description });
}
