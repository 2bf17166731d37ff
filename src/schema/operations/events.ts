// schema, operations: event streams.

import { Type } from 'typebox';
import { errors, type Operation, type QueryParameter } from './operation.ts';

const STREAM_QUERY: readonly QueryParameter[] = [
  {
    name: 'after',
    description: 'Replay what came after the event of this number',
    schema: Type.Integer({ minimum: 0 }),
  },
  { name: 'name', description: 'Only events of these names', schema: Type.String() },
  { name: 'type', description: 'Only events of these types', schema: Type.String() },
  { name: 'deployment', description: 'Only events of these deployments', schema: Type.String() },
];

const eventStream = {
  200: { description: 'Event stream (text/event-stream)', contentType: 'text/event-stream' },
  ...errors(400, 503),
};

export const EVENT_OPERATIONS = {
  streamVMEvents: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/events/vms',
    tags: ['events'],
    summary: 'Stream VM lifecycle events',
    description:
      'Server-Sent Events. The id of an event is its number; numbers are dense and go on over restarts. Last-Event-ID or ?after= resumes.',
    query: STREAM_QUERY,
    headers: ['last-event-id'],
    answers: eventStream,
  },
  streamEvents: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/events',
    tags: ['events'],
    summary: 'Stream all events',
    description: 'VMs, deployments, plugins and configs; otherwise as streamVMEvents.',
    query: STREAM_QUERY,
    headers: ['last-event-id'],
    answers: eventStream,
  },
} as const satisfies Record<string, Operation>;
