// ui, pages: what happened to a VM: operations with their steps, and events, newest first.

import type { VmOperation, VolantEvent } from '../../../src/client/types.ts';
import type { Vm } from '../../../src/schema/vm.ts';
import { milliseconds } from '../../base/amounts.ts';
import { place, replaceQuery } from '../../base/router.ts';
import { exact } from '../../base/time.ts';
import { api } from '../../data/api.ts';
import { useEvents } from '../../data/past-events.ts';
import { useResource } from '../../data/resource.ts';
import { Choices } from '../../parts/choices.tsx';
import { Empty, Failure, Loading } from '../../parts/states.tsx';
import { StatusBadge } from '../../parts/status-badge.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';

type Entry =
  | { readonly kind: 'operation'; readonly at: string; readonly operation: VmOperation }
  | { readonly kind: 'event'; readonly at: string; readonly event: VolantEvent };

const SHOWN_MAX = 300;

const KINDS = [
  { id: 'all', label: 'All' },
  { id: 'operation', label: 'Operations' },
  { id: 'event', label: 'Events' },
] as const;

export function VmTimeline({ vm: { name, created_at } }: { readonly vm: Vm }) {
  const [operations, reload] = useResource(
    name,
    (signal) => api().vms.operations(name, { signal }),
    (event) => event.name === name,
  );
  // A VM of the same name before this one is not this VM.
  const isOwn = (event: VolantEvent) => event.name === name && event.timestamp >= created_at;
  const [events] = useEvents(name, { name: [name] }, isOwn);
  const asked = place.value.query.get('kind');
  const kind = KINDS.find(({ id }) => id === asked)?.id ?? 'all';
  if (operations.state === 'loading') return <Loading what="the timeline" />;
  if (operations.state === 'failed') {
    return <Failure what="The timeline" error={operations.error} onRetry={reload} />;
  }
  const own = events.state === 'ready' ? events.value.filter(isOwn) : [];
  const entries = merged(operations.value, own).filter(
    (entry) => kind === 'all' || entry.kind === kind,
  );
  return (
    <>
      <Choices
        label="What the timeline has"
        choices={KINDS}
        chosen={kind}
        onChoose={(id) => replaceQuery({ tab: 'timeline', kind: id === 'all' ? '' : id })}
      />
      {events.state === 'failed' && (
        <p class="notice">Earlier events cannot be shown: {events.error.message}</p>
      )}
      {entries.length === 0 && <Empty title="Nothing is recorded yet" />}
      <ol class="timeline">
        {entries
          .slice(0, SHOWN_MAX)
          .map((entry) =>
            entry.kind === 'event' ? (
              <EventEntry key={`event ${entry.event.id}`} event={entry.event} />
            ) : (
              <OperationEntry
                key={`operation ${entry.operation.number}`}
                operation={entry.operation}
              />
            ),
          )}
      </ol>
    </>
  );
}

function merged(
  operations: readonly VmOperation[],
  events: readonly VolantEvent[],
): readonly Entry[] {
  const entries: Entry[] = [
    ...events.map((event) => ({ kind: 'event' as const, at: event.timestamp, event })).reverse(),
    ...operations.map((operation) => ({
      kind: 'operation' as const,
      at: operation.started_at,
      operation,
    })),
  ];
  return entries.sort((one, other) => Date.parse(other.at) - Date.parse(one.at));
}

function EventEntry({ event }: { readonly event: VolantEvent }) {
  return (
    <li>
      <TimeAgo at={event.timestamp} />
      <div>
        <span class="mono">{event.type}</span>
        {event.message !== undefined && <p class="dim">{event.message}</p>}
      </div>
    </li>
  );
}

const TONES: Readonly<Record<string, string>> = {
  done: 'good',
  failed: 'bad',
  running: 'busy',
  superseded: 'idle',
};

function OperationEntry({ operation }: { readonly operation: VmOperation }) {
  const { kind, cause, outcome, error, steps, started_at, ended_at, request_id } = operation;
  const tookMs = ended_at === null ? null : Date.parse(ended_at) - Date.parse(started_at);
  return (
    <li>
      <TimeAgo at={started_at} />
      <details>
        <summary>
          <strong>{kind}</strong> <StatusBadge status={outcome} tone={TONES[outcome] ?? 'idle'} />{' '}
          <span class="dim">
            by {cause}
            {tookMs === null ? '' : `, ${milliseconds(tookMs)}`}
          </span>
        </summary>
        {error !== null && <p class="notice">{error}</p>}
        <ul class="steps">
          {steps.map(({ step, times, duration_ms, error: problem }) => (
            <li key={step}>
              <span class="mono">{step}</span>
              <span class="dim">
                {milliseconds(duration_ms)}
                {times > 1 ? `, ${times} times` : ''}
              </span>
              {problem !== null && <span>{problem}</span>}
            </li>
          ))}
        </ul>
        <p class="dim">
          Began {exact(started_at)}
          {request_id === undefined ? '' : `, request ${request_id}`}
        </p>
      </details>
    </li>
  );
}
