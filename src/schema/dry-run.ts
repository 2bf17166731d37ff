// schema: what an operation would do, told instead of done: the resource as it would be, and these members beside its own.

import { Type } from 'typebox';

export const PlannedActionSchema = Type.Object(
  { action: Type.String(), subject: Type.String() },
  { $id: 'PlannedAction', description: 'Something that would be done' },
);

/** Of answers to ?dry_run=true; absent where something was done. */
export const DRY_RUN_MEMBERS = {
  dry_run: Type.Optional(Type.Boolean({ description: 'true: nothing was done' })),
  actions: Type.Optional(
    Type.Array(PlannedActionSchema, { description: 'Of a dry run: what would be done, in order' }),
  ),
};
