// schema: small parts that several nouns share.

import { type Static, type TNumberOptions, type TSchema, Type } from 'typebox';
import { LIMITS } from '../config/limits.ts';

export const NAME_CHARACTERS_MAX = 63;

/** The largest integer that clients in every language read exactly: 2^53 - 1. */
const INTEGER_MAX = Number.MAX_SAFE_INTEGER;

const INT32_MAX = 2_147_483_647;

/** A count, a number or a size: 0 to 2^53 - 1 unless the options narrow it. */
export function Int64(options: TNumberOptions = {}) {
  return Type.Integer({ format: 'int64', minimum: 0, maximum: INTEGER_MAX, ...options });
}

/**
 * Like Int64, for members to which the contract gives no format, so that generated clients keep their type: 0 to 2^31 - 1.
 */
export function Int32(options: TNumberOptions = {}) {
  return Type.Integer({ minimum: 0, maximum: INT32_MAX, ...options });
}

/** Keywords for the OpenAPI document that the validator does not check. */
type Documentation = Readonly<Record<string, unknown>>;

/**
 * A schema whose document says more than the validator checks: `rules` are keywords for the document. They describe the
 * normal form. The daemon accepts other forms, too (surrounding blanks, other case, empty for absent), and checks them by
 * rules of its own.
 */
export function Documented<T extends TSchema>(schema: T, rules: Documentation) {
  return Type.Unsafe<Static<T>>({ ...schema, documented: rules });
}

/** A text that is one of a few words in its normal form. */
export function Word(words: readonly string[], description?: string) {
  const options = description === undefined ? {} : { description };
  return Documented(Type.String(options), { enum: [...words] });
}

/** A text that matches a pattern in its normal form. */
export function Text(pattern: string, description?: string) {
  const options = description === undefined ? {} : { description };
  return Documented(Type.String(options), { pattern });
}

export const Timestamp = (description?: string) =>
  Type.String({ format: 'date-time', ...(description === undefined ? {} : { description }) });

export const IPV4_PATTERN = '^\\d{1,3}(\\.\\d{1,3}){3}$';

/** The same forms as isPciAddress and isDevicePattern of lib/formats/pci-address.ts. */
export const PCI_ADDRESS_PATTERN = '^[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\\.[0-7]$';
export const DEVICE_PATTERN_PATTERN = `^[0-9a-fA-F]{4}:([0-9a-fA-F]{4}|\\*)$|${PCI_ADDRESS_PATTERN}`;

/** Where a guest finds the API; an empty text means not set. */
export const API_HOST_PATTERN = '^[A-Za-z0-9.:-]{0,253}$';
export const API_PORT_PATTERN = '^\\d{0,5}$';

/** Allows an empty text, too. */
export const orEmpty = (pattern: string): string => `^$|${pattern}`;

/** A DNS label in lower case: names of VMs and plugins become host names, file names and URLs. */
export const NAME_PATTERN = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';

/** The same without its length: the name of a replica is that of its deployment and a number. */
export const NAME_CHARACTERS_PATTERN = '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$';

/** The rule for names in words, for descriptions and for errors. */
export const NAME_RULE =
  'lower-case letters, digits and "-"; 1 to 63 characters; a letter or digit at both ends';

export const Name = Type.String({
  pattern: NAME_PATTERN,
  description: `A name: ${NAME_RULE}`,
});

/** A duration in milliseconds. A larger number would make a timer of Node fire at once. */
export const TimeoutMs = Int64({ maximum: INT32_MAX, description: 'Milliseconds' });

export const GRACE_TEXT = 'Seconds that the guest gets to power off before its hypervisor is ended';

/** Whether a VM is started when its host starts. */
export const Autostart = Type.Boolean({
  description:
    'Start the VM after a restart of the host, unless it was stopped by a request. Replicas of deployments are always started',
});

/** Whether the guest has a metadata service. */
export const MetadataService = Type.Boolean({
  description:
    'Serve programs of the guest what the VM is, at VOLANT_METADATA_URL, and take a result of them; false if absent',
});

/** The grace period of a guest. */
export const GraceSeconds = Int64({
  maximum: LIMITS.graceSecondsMax,
  description: GRACE_TEXT,
});

/** A member that the contract marks nullable: absent and null mean the same. */
export function Nullable<T extends TSchema>(schema: T) {
  return Type.Union([schema, Type.Null()]);
}

/**
 * An object with any keys. Type.Record would check its values by the pattern `^.*$`, which no key with a line break
 * matches: such a value would pass unchecked.
 */
export function MapOf<T extends TSchema>(values: T) {
  return Type.Unsafe<Record<string, Static<T>>>({ type: 'object', additionalProperties: values });
}

export const StringMap = MapOf(Type.String());

/** Member of answers to requests with unknown members or parameters, or with missing files. */
export const Warnings = Type.Array(Type.String(), {
  description:
    'Unknown members and parameters of the request, which were ignored, and files of its config that do not exist yet; absent if there are none',
});

/** One of a few words. */
export function OneOf<const T extends readonly string[]>(words: T, description: string) {
  return Type.Unsafe<T[number]>({ type: 'string', enum: [...words], description });
}
