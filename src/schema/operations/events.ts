// schema, operations: event streams.

import { Type } from 'typebox';
import { EVENT_TYPES, RESYNC, VM_EVENT_TYPES } from '../event.ts';
import { Documented, Int64, Word } from '../parts.ts';
import { errors, type Operation, type QueryParameter } from './operation.ts';

const Words = Type.Array(Type.String());

const streamQuery = (types: readonly string[]): readonly QueryParameter[] => [
  {
    name: 'after',
    description: 'Replay the events after the one with this number',
    schema: Int64(),
  },
  { name: 'name', description: 'Only events of these names', schema: Words },
  { name: 'type', description: 'Only events of these types', schema: Type.Array(Word(types)) },
  { name: 'deployment', description: 'Only events of these deployments', schema: Words },
];

const eventStream = {
  200: {
    description: 'Event stream; the data of each event is an Event, as JSON',
    contentType: 'text/event-stream',
    schema: Documented(Type.String(), { 'x-event-data': { $ref: '#/components/schemas/Event' } }),
  },
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
      'Server-Sent Events. The id of an event is its number; numbers have no gaps and continue over restarts. Last-Event-ID or ?after= resumes.',
    query: streamQuery([...VM_EVENT_TYPES, RESYNC]),
    headers: ['last-event-id'],
    answers: eventStream,
  },
  streamEvents: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/events',
    tags: ['events'],
    summary: 'Stream all events',
    description: 'Events of VMs, deployments, plugins and configs; otherwise like streamVMEvents.',
    query: streamQuery(EVENT_TYPES),
    headers: ['last-event-id'],
    answers: eventStream,
  },
} as const satisfies Record<string, Operation>;
