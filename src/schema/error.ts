// schema: the shape of every error answer.

import { Type } from 'typebox';
import { StringMap } from './parts.ts';

const Devices = Type.Array(Type.String(), {
  description: 'In VFIO operations: the devices that were changed',
});

export const ErrorSchema = Type.Object(
  {
    error: Type.String({ description: 'A sentence for a person' }),
    code: Type.String({ description: 'A stable name for programs, see docs/errors.md' }),
    details: Type.Optional(StringMap),
    success: Type.Optional(Type.Boolean({ description: 'In VFIO operations: false' })),
    message: Type.Optional(
      Type.String({ description: 'In VFIO operations: the same sentence as error' }),
    ),
    bound_devices: Type.Optional(Devices),
    unbound_devices: Type.Optional(Devices),
  },
  { $id: 'Error', description: 'What went wrong; details are keyed by field or parameter' },
);
