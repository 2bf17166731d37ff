// schema: the one shape of every error answer.

import { Type } from 'typebox';
import { StringMap } from './parts.ts';

export const ErrorSchema = Type.Object(
  {
    error: Type.String({ description: 'A sentence for a person' }),
    code: Type.String({ description: 'A stable name for programs, see docs/errors.md' }),
    details: Type.Optional(StringMap),
  },
  { description: 'What went wrong; details are keyed by field or parameter' },
);
