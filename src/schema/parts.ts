// schema: small building blocks that several nouns share.

import { type Static, type TNumberOptions, type TSchema, Type } from 'typebox';
import { LIMITS } from '../config.ts';

export const NAME_CHARACTERS_MAX = 63;

/** The largest whole number that every language's clients read as it is: 2^53 - 1. */
const INTEGER_MAX = Number.MAX_SAFE_INTEGER;

const INT32_MAX = 2_147_483_647;

/** A count, a number, a size: 0 to 2^53 - 1 unless the options say less. */
export function Int64(options: TNumberOptions = {}) {
  return Type.Integer({ format: 'int64', minimum: 0, maximum: INTEGER_MAX, ...options });
}

/** The same for what the contract gives no format, so that generated clients keep their type: 0 to 2^31 - 1. */
export function Int32(options: TNumberOptions = {}) {
  return Type.Integer({ minimum: 0, maximum: INT32_MAX, ...options });
}

/** What a reader of the OpenAPI document is told beyond what is checked by the schema. */
type Documentation = Readonly<Record<string, unknown>>;

/**
 * A schema whose document says more than it checks: `rules` are keywords for the document. They tell the normal form of what
 * the daemon takes in other forms, too (blanks around it, other case, empty for absent), and checks by rules of its own.
 */
export function Documented<T extends TSchema>(schema: T, rules: Documentation) {
  return Type.Unsafe<Static<T>>({ ...schema, documented: rules });
}

/** A text that is one of a few words in its normal form. */
export function Word(words: readonly string[], description?: string) {
  const options = description === undefined ? {} : { description };
  return Documented(Type.String(options), { enum: [...words] });
}

/** A text that has a certain look in its normal form. */
export function Text(pattern: string, description?: string) {
  const options = description === undefined ? {} : { description };
  return Documented(Type.String(options), { pattern });
}

export const Timestamp = (description?: string) =>
  Type.String({ format: 'date-time', ...(description === undefined ? {} : { description }) });

export const IPV4_PATTERN = '^\\d{1,3}(\\.\\d{1,3}){3}$';

/** As isPciAddress and isDevicePattern of lib/pci-address.ts have it. */
export const PCI_ADDRESS_PATTERN = '^[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\\.[0-7]$';
export const DEVICE_PATTERN_PATTERN = `^[0-9a-fA-F]{4}:([0-9a-fA-F]{4}|\\*)$|${PCI_ADDRESS_PATTERN}`;

/** Where a guest finds the API; empty texts mean not set. */
export const API_HOST_PATTERN = '^[A-Za-z0-9.:-]{0,253}$';
export const API_PORT_PATTERN = '^\\d{0,5}$';

/** Where an empty text is an answer, too. */
export const orEmpty = (pattern: string): string => `^$|${pattern}`;

/** A DNS label in lower case: VM and plugin names land in host names, file names and URLs. */
export const NAME_PATTERN = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';

/** The same without its length: a replica has the name of its deployment and a number. */
export const NAME_CHARACTERS_PATTERN = '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$';

/** What a name must be, in words, for descriptions and for the answer to a wrong one. */
export const NAME_RULE =
  'lower-case letters, digits and "-"; 1 to 63 characters; a letter or digit at both ends';

export const Name = Type.String({
  pattern: NAME_PATTERN,
  description: `A name: ${NAME_RULE}`,
});

/** A duration in milliseconds. A larger number than this would make a timer of Node fire at once. */
export const TimeoutMs = Int64({ maximum: INT32_MAX, description: 'Milliseconds' });

export const GRACE_TEXT = 'Seconds that the guest gets to power off before its hypervisor is ended';

/** Whether a VM comes up with its host. */
export const Autostart = Type.Boolean({
  description:
    'After a restart of the host the VM is started again, unless it was stopped on purpose. Replicas of deployments come back in any case',
});

/** How long a guest gets to power off. */
export const GraceSeconds = Int64({
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

/** In the answer to a request that had what is not known. */
export const Warnings = Type.Array(Type.String(), {
  description:
    'What the request had that is not known, and was ignored; absent where it had nothing of it',
});

/** One of a few words. */
export function OneOf<const T extends readonly string[]>(words: T, description: string) {
  return Type.Unsafe<T[number]>({ type: 'string', enum: [...words], description });
}
