// schema: the `data` of one event of a stream.

import { type Static, Type } from 'typebox';

export const EventSchema = Type.Object(
  {
    type: Type.String({
      description:
        'VM_CREATED, VM_STARTING, VM_RUNNING, VM_RELAUNCHED, VM_STOPPING, VM_STOPPED, VM_CRASHED, VM_DEGRADED, VM_REPAIRED, VM_DELETING, VM_DELETED; RESYNC when events are gone that the reader has not seen',
    }),
    name: Type.String(),
    status: Type.String(),
    ip_address: Type.Optional(Type.String()),
    mac_address: Type.Optional(Type.String()),
    pid: Type.Optional(Type.Integer({ format: 'int64' })),
    timestamp: Type.String({ format: 'date-time' }),
    message: Type.Optional(Type.String()),
    deployment: Type.Optional(Type.String({ description: 'The deployment that it concerns' })),
    request_id: Type.Optional(
      Type.String({ description: 'X-Request-Id of the request that caused it' }),
    ),
  },
  { description: 'A change of state' },
);

export type EventData = Static<typeof EventSchema>;
