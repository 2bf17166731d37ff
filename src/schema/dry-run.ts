// schema: what an operation would do, told instead of done.

import { Type } from 'typebox';

export const DryRunSchema = Type.Object(
  {
    dry_run: Type.Boolean(),
    actions: Type.Array(Type.Object({ action: Type.String(), subject: Type.String() })),
  },
  { description: 'What would be done; further members tell the facts' },
);
