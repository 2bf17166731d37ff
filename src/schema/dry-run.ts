// schema: the answer of a dry run: the resource as it would be, and these additional members.

import { Type } from 'typebox';

export const PlannedActionSchema = Type.Object(
  { action: Type.String(), subject: Type.String() },
  { $id: 'PlannedAction', description: 'Something that would be done' },
);

/** Members of answers to ?dry_run=true; absent in other answers. */
export const DRY_RUN_MEMBERS = {
  dry_run: Type.Optional(Type.Boolean({ description: 'true: nothing was done' })),
  actions: Type.Optional(
    Type.Array(PlannedActionSchema, { description: 'In a dry run: what would be done, in order' }),
  ),
};
