// schema: small building blocks that several nouns share.

import { Type } from 'typebox';

/** A DNS label in lower case: VM and plugin names land in host names, file names and URLs. */
export const NAME_PATTERN = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';

export const Name = Type.String({
  pattern: NAME_PATTERN,
  description:
    'Lower-case letters, digits and "-"; 1 to 63 characters; a letter or digit at both ends',
});

/** Absent and null mean the same for what the contract marks nullable. */
export function Nullable<T extends Parameters<typeof Type.Union>[0][number]>(schema: T) {
  return Type.Union([schema, Type.Null()]);
}

export const StringMap = Type.Record(Type.String(), Type.String());
