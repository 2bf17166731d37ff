// ui, pages: what VMs boot from: container images, downloads of images, which events tell, and records of the files of
// plugins.

import type { Artifact, VolantEvent } from '../../../src/client/types.ts';
import { to } from '../../base/router.ts';
import { api } from '../../data/api.ts';
import { useEvents } from '../../data/past-events.ts';
import { useResource } from '../../data/resource.ts';
import { isVmStatus } from '../../data/vm-store.ts';
import { ArtifactTable } from '../../parts/artifact-table.tsx';
import { Failure, Loading } from '../../parts/states.tsx';
import { StatusBadge } from '../../parts/status-badge.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';
import { ContainerImages } from './container-images.tsx';

/** One request for each plugin. */
const PLUGINS_MAX = 100;

export function Page() {
  return (
    <section class="page" aria-labelledby="page-title">
      <h1 id="page-title">Images</h1>
      <ContainerImages />
      <Downloads />
      <Records />
    </section>
  );
}

const MEDIA_TYPES = [
  'MEDIA_DOWNLOADING',
  'MEDIA_READY',
  'MEDIA_FAILED',
  'MEDIA_DISK_FULL',
  'MEDIA_DISK_FREED',
];
const DOWNLOADS_SHOWN_MAX = 50;

function Downloads() {
  const [events, reload] = useEvents('media', { type: MEDIA_TYPES }, ({ type }) =>
    MEDIA_TYPES.includes(type),
  );
  if (events.state === 'loading') return <Loading what="downloads" />;
  if (events.state === 'failed') {
    return <Failure what="Downloads" error={events.error} onRetry={reload} />;
  }
  const shown = latestOf(events.value).slice(0, DOWNLOADS_SHOWN_MAX);
  return (
    <>
      <h2>Downloads</h2>
      {shown.length === 0 && <p class="dim">No image was downloaded lately.</p>}
      <ul class="timeline">
        {shown.map((event) => (
          <Download key={event.id} event={event} />
        ))}
      </ul>
    </>
  );
}

/** A download tells much on its way: its latest event says it all. Newest first. */
function latestOf(events: readonly VolantEvent[]): readonly VolantEvent[] {
  const latest = new Map<string, VolantEvent>();
  for (const event of events) {
    // A failure of a VM's download says why, and not of what.
    if (event.type === 'MEDIA_FAILED') {
      for (const [subject, { name, type }] of latest) {
        if (name === event.name && type === 'MEDIA_DOWNLOADING') latest.delete(subject);
      }
    }
    const subject = subjectOf(event);
    latest.delete(subject);
    latest.set(subject, event);
  }
  return [...latest.values()].reverse();
}

/**
 * Progress is `location: received of total MiB`; a location is the part before. Of an image that a client pulls it is the
 * name.
 */
function subjectOf({ name, status, message = '' }: VolantEvent): string {
  return isVmStatus(status) ? `${name} ${message.split(': ')[0]}` : name;
}

const TONES: Readonly<Record<string, string>> = {
  MEDIA_DOWNLOADING: 'busy',
  MEDIA_READY: 'good',
  MEDIA_FAILED: 'bad',
  MEDIA_DISK_FULL: 'bad',
  MEDIA_DISK_FREED: 'good',
};

function Download({ event: { type, name, status, message = '', timestamp } }: DownloadProps) {
  const [, received, total] = /([\d.]+) of ([\d.]+) MiB$/.exec(message) ?? [];
  const word = type.replace('MEDIA_', '').toLowerCase().replace('_', ' ');
  return (
    <li>
      <TimeAgo at={timestamp} />
      <div>
        <StatusBadge status={word} tone={TONES[type] ?? 'idle'} />{' '}
        {isVmStatus(status) ? <a href={to(['vms', name])}>{name}</a> : name}{' '}
        <span class="dim">{message}</span>
        {type === 'MEDIA_DOWNLOADING' && total !== undefined && (
          <progress
            class="wide"
            aria-label="Downloaded"
            value={Number(received)}
            max={Number(total)}
          />
        )}
      </div>
    </li>
  );
}

interface DownloadProps {
  readonly event: VolantEvent;
}

async function readRecords(signal: AbortSignal): Promise<readonly Artifact[]> {
  const found: Artifact[] = [];
  const plugins = await api().plugins.list({ signal });
  for (const plugin of plugins.slice(0, PLUGINS_MAX)) {
    found.push(...(await api().plugins.listArtifacts(plugin, { signal })));
  }
  return found;
}

function Records() {
  const [records, reload] = useResource('records', readRecords, ({ type }) =>
    type.startsWith('PLUGIN_'),
  );
  return (
    <>
      <h2>Files of plugins</h2>
      {records.state === 'loading' && <Loading what="records" />}
      {records.state === 'failed' && (
        <Failure what="The records" error={records.error} onRetry={reload} />
      )}
      {records.state === 'ready' && <ArtifactTable artifacts={records.value} />}
    </>
  );
}
