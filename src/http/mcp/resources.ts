// http, mcp: resources that are read by URI: vm://NAME, deployment://NAME and volant://events?after=NUMBER.

import { LIMITS } from '../../config/limits.ts';
import type { Engine } from '../../engine/engine-api.ts';
import { JSON_TYPE } from '../exchange/reply.ts';
import { listEvents } from './events.ts';
import { RPC, RpcError } from './json-rpc.ts';

export const EVENTS_URI = 'volant://events';

const EVENTS = {
  uri: EVENTS_URI,
  name: 'events',
  description: 'The newest events; with ?after=NUMBER the events after that one',
  mimeType: JSON_TYPE,
};

export const RESOURCE_TEMPLATES = [
  {
    uriTemplate: 'vm://{name}',
    name: 'vm',
    description: 'A VM: status, address, resources, process',
    mimeType: JSON_TYPE,
  },
  {
    uriTemplate: 'deployment://{name}',
    name: 'deployment',
    description: 'A deployment: replicas, how many are ready, conditions',
    mimeType: JSON_TYPE,
  },
  {
    uriTemplate: `${EVENTS_URI}?after={seq}`,
    name: 'events-after',
    description:
      'The events after the one with this number; next_after of the answer is the number for the next page',
    mimeType: JSON_TYPE,
  },
];

export const vmUri = (name: string) => `vm://${name}`;
export const deploymentUri = (name: string) => `deployment://${name}`;

/** The resource that a URI names; undefined for a URI of another form. */
export function parseUri(
  uri: string,
): { readonly kind: 'vm' | 'deployment' | 'events'; readonly subject: string } | undefined {
  const [, kind, name = ''] = /^(vm|deployment):\/\/([^/?#]{1,128})$/.exec(uri) ?? [];
  if (kind === 'vm' || kind === 'deployment') return { kind, subject: name };
  const [events, after = ''] = /^volant:\/\/events(?:\?after=(\d{1,15}))?$/.exec(uri) ?? [];
  return events === undefined ? undefined : { kind: 'events', subject: after };
}

/** One page of all resources: the event log, the deployments, then the VMs, sorted by name. */
export async function listResources(
  { deployments, vms }: Engine,
  cursor: unknown,
): Promise<object> {
  const start = positionIn(cursor);
  const size = LIMITS.mcpPageDefault;
  const first = [
    EVENTS,
    ...deployments.list().map(({ name }) => resource(deploymentUri(name), name, 'Deployment')),
  ];
  const page = first.slice(start, start + size);
  const { body, total } = await vms.list({
    statuses: [],
    sort: 'name',
    descending: false,
    limit: size - page.length,
    offset: Math.max(0, start - first.length),
  });
  const names = (JSON.parse(body) as { name: string }[]).map(({ name }) => name);
  const end = start + size;
  return {
    resources: [...page, ...names.map((name) => resource(vmUri(name), name, 'VM'))],
    ...(end < first.length + total ? { nextCursor: String(end) } : {}),
  };
}

/** Throws RpcError resourceNotFound. */
export function readResource({ vms, deployments, events }: Engine, uri: string): object {
  const target = parseUri(uri);
  const { kind, subject } = target ?? { kind: 'none', subject: '' };
  let text: string | undefined;
  if (kind === 'vm') text = vms.get(subject);
  if (kind === 'deployment') {
    const found = deployments.list().find(({ name }) => name === subject);
    text = found && JSON.stringify(found);
  }
  if (kind === 'events') {
    const after = subject === '' ? undefined : Number(subject);
    text = JSON.stringify(listEvents(events, after, LIMITS.mcpPageDefault));
  }
  if (text === undefined) {
    throw new RpcError(RPC.resourceNotFound, `There is no resource ${uri}`, { data: { uri } });
  }
  return { contents: [{ uri, mimeType: JSON_TYPE, text }] };
}

function resource(uri: string, name: string, what: string) {
  return { uri, name, description: `${what} ${name}`, mimeType: JSON_TYPE };
}

function positionIn(cursor: unknown): number {
  if (cursor === undefined) return 0;
  if (typeof cursor === 'string' && /^\d{1,9}$/.test(cursor)) return Number(cursor);
  throw new RpcError(RPC.invalidParams, 'The cursor is invalid');
}
