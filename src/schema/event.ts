// schema: the `data` of one event of a stream.

import { type Static, Type } from 'typebox';
import { Int32, Int64, IPV4_PATTERN, OneOf, Text, Timestamp } from './parts.ts';

/** Events of a VM. */
export const VM_EVENT_TYPES = [
  'VM_CREATED',
  'VM_STARTING',
  'VM_RUNNING',
  'VM_RELAUNCHED',
  'VM_STOPPING',
  'VM_STOPPED',
  'VM_EXITED',
  'VM_RESULT',
  'VM_DEADLINE_CHANGED',
  'VM_CRASHED',
  'VM_DEGRADED',
  'VM_REPAIRED',
  'VM_DELETING',
  'VM_DELETED',
] as const;

/** Events of other objects; streams of VM events leave them out. */
export const OTHER_EVENT_TYPES = [
  'CONFIG_CHANGED',
  'HOST_DRIFT',
  'HOST_PORT_LOST',
  'HOST_PORT_REGAINED',
  'MEDIA_DOWNLOADING',
  'MEDIA_READY',
  'MEDIA_FAILED',
  'MEDIA_DISK_FULL',
  'MEDIA_DISK_FREED',
  'IMAGE_REMOVED',
  'PLUGIN_INSTALLED',
  'PLUGIN_ENABLED',
  'PLUGIN_DISABLED',
  'PLUGIN_REMOVED',
  'DEVICE_BOUND',
  'DEVICE_UNBOUND',
  'DEPLOYMENT_CREATED',
  'DEPLOYMENT_SCALED',
  'DEPLOYMENT_UPDATED',
  'DEPLOYMENT_AVAILABLE',
  'DEPLOYMENT_DEGRADED',
  'DEPLOYMENT_DELETING',
  'DEPLOYMENT_DELETED',
] as const;

/** Written by a stream itself, whatever types the client asked for. */
export const RESYNC = 'RESYNC';

export const EVENT_TYPES = [...VM_EVENT_TYPES, ...OTHER_EVENT_TYPES, RESYNC] as const;

export const EventSchema = Type.Object(
  {
    type: OneOf(EVENT_TYPES, 'RESYNC: events that the reader has not seen are gone'),
    name: Type.String(),
    status: Type.String(),
    ip_address: Type.Optional(Text(IPV4_PATTERN)),
    mac_address: Type.Optional(Type.String()),
    pid: Type.Optional(Int64()),
    exit_code: Type.Optional(
      Int32({ description: 'VM_EXITED: the exit code, unless a signal ended the workload' }),
    ),
    exit_signal: Type.Optional(
      Int32({ description: 'VM_EXITED: the number of the signal that ended the workload' }),
    ),
    size_bytes: Type.Optional(Int32({ description: 'VM_RESULT: the size of the result' })),
    timestamp: Timestamp(),
    message: Type.Optional(Type.String()),
    deployment: Type.Optional(
      Type.String({ description: 'The deployment that the event is about' }),
    ),
    request_id: Type.Optional(
      Type.String({ description: 'X-Request-Id of the request that caused it' }),
    ),
  },
  { $id: 'Event', description: 'A change of state' },
);

export type EventData = Static<typeof EventSchema>;
