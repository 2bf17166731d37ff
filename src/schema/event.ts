// schema: the `data` of one event of a stream.

import { type Static, Type } from 'typebox';
import { Int64, IPV4_PATTERN, OneOf, Text, Timestamp } from './parts.ts';

/** What happens to a VM. */
export const VM_EVENT_TYPES = [
  'VM_CREATED',
  'VM_STARTING',
  'VM_RUNNING',
  'VM_RELAUNCHED',
  'VM_STOPPING',
  'VM_STOPPED',
  'VM_CRASHED',
  'VM_DEGRADED',
  'VM_REPAIRED',
  'VM_DELETING',
  'VM_DELETED',
] as const;

/** Changes that are not a VM's; streams of VM events leave them out. */
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

/** Said by a stream itself, whatever types are asked for. */
export const RESYNC = 'RESYNC';

export const EVENT_TYPES = [...VM_EVENT_TYPES, ...OTHER_EVENT_TYPES, RESYNC] as const;

export const EventSchema = Type.Object(
  {
    type: OneOf(EVENT_TYPES, 'RESYNC when events are gone that the reader has not seen'),
    name: Type.String(),
    status: Type.String(),
    ip_address: Type.Optional(Text(IPV4_PATTERN)),
    mac_address: Type.Optional(Type.String()),
    pid: Type.Optional(Int64()),
    timestamp: Timestamp(),
    message: Type.Optional(Type.String()),
    deployment: Type.Optional(Type.String({ description: 'The deployment that it concerns' })),
    request_id: Type.Optional(
      Type.String({ description: 'X-Request-Id of the request that caused it' }),
    ),
  },
  { $id: 'Event', description: 'A change of state' },
);

export type EventData = Static<typeof EventSchema>;
