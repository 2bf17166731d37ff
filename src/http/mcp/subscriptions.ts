// http, mcp: subscriptions/listen: a stream of notifications that resources have changed. A client reads the changed
// resource afterwards. After a disconnect it reads the missed events as a resource.

import { LIMITS } from '../../config/limits.ts';
import type { StoredEvent } from '../../engine/records.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { HandlerContext } from '../handlers.ts';
import type { StreamFormat } from '../streams/sse.ts';
import { isObject, RPC, RpcError, type RpcId, type RpcMessage, resultMessage } from './json-rpc.ts';
import { deploymentUri, EVENTS_URI, parseUri, vmUri } from './resources.ts';

/** Events that change the result of resources/list. */
const LIST_CHANGES: readonly string[] = [
  'VM_CREATED',
  'VM_DELETED',
  'DEPLOYMENT_CREATED',
  'DEPLOYMENT_DELETED',
];

/** The notifications that a client subscribed to. */
interface Interest {
  readonly listChanges: boolean;
  /** URIs of VMs and deployments. */
  readonly watched: ReadonlySet<string>;
  readonly events: boolean;
}

/** Throws RpcError, or OVERLOADED if too many streams are open. */
export function listen(
  { caller, streams }: Pick<HandlerContext, 'caller' | 'streams'>,
  exchange: Exchange,
  id: RpcId,
  { notifications }: RpcMessage['params'],
): void {
  if (!isObject(notifications)) {
    throw new RpcError(RPC.invalidParams, 'notifications must be an object');
  }
  const wanted = urisIn(notifications['resourceSubscriptions']);
  const known = wanted.filter((uri) => parseUri(uri) !== undefined);
  const interest: Interest = {
    listChanges: notifications['resourcesListChanged'] === true,
    watched: new Set(known),
    events: known.some((uri) => parseUri(uri)?.kind === 'events'),
  };
  streams.openAs(exchange, caller, formFor(id, interest), undefined);
}

function formFor(id: RpcId, interest: Interest): StreamFormat {
  const { listChanges, watched, events } = interest;
  const _meta = { 'io.modelcontextprotocol/subscriptionId': id };
  const notify = (method: string, params: object = {}) =>
    frame({ jsonrpc: '2.0', method, params: { ...params, _meta } });
  const updated = (uri: string) => notify('notifications/resources/updated', { uri });
  const listChanged = listChanges ? notify('notifications/resources/list_changed') : '';
  return {
    opening: notify('notifications/subscriptions/acknowledged', {
      notifications: {
        ...(listChanges ? { resourcesListChanged: true } : {}),
        ...(watched.size > 0 ? { resourceSubscriptions: [...watched] } : {}),
      },
    }),
    render: (batch) => {
      const changed = [...touchedBy(batch)].filter((uri) => watched.has(uri));
      const since = (batch[0]?.sequence ?? 1) - 1;
      return [
        batch.some(({ body }) => LIST_CHANGES.includes(body.type)) ? listChanged : '',
        ...changed.map(updated),
        events ? updated(`${EVENTS_URI}?after=${since}`) : '',
      ].join('');
    },
    // Events are missing, so every resource may have changed.
    resync: () => [listChanged, ...[...watched].map(updated)].join(''),
    closing: frame(resultMessage(id, { resultType: 'complete', _meta })),
  };
}

/** URIs of the resources that these events are about. */
function touchedBy(events: readonly StoredEvent[]): ReadonlySet<string> {
  const uris = new Set<string>();
  for (const { body } of events) {
    if (body.type.startsWith('VM_')) uris.add(vmUri(body.name));
    if (body.type.startsWith('DEPLOYMENT_')) uris.add(deploymentUri(body.name));
    if (body.deployment !== undefined) uris.add(deploymentUri(body.deployment));
  }
  return uris;
}

function urisIn(value: unknown = []): readonly string[] {
  const isList = Array.isArray(value) && value.every((uri) => typeof uri === 'string');
  if (isList && value.length <= LIMITS.mcpWatchedMax) return value;
  const why = `resourceSubscriptions must be at most ${LIMITS.mcpWatchedMax} URIs`;
  throw new RpcError(RPC.invalidParams, why);
}

function frame(message: object): string {
  return `event: message\ndata: ${JSON.stringify(message)}\n\n`;
}
