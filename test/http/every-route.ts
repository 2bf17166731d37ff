// test, http: one request for everything that the server answers. Operations come from their table, so
// that a new route is among them by itself.

import type { Operation } from '../../src/schema/operations/operation.ts';
import { OPERATIONS } from '../../src/schema/operations.ts';

const operations: readonly Operation[] = Object.values(OPERATIONS);

const UPGRADE = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
} as const;

export interface RouteRequest {
  /** "METHOD path", with `one` for every name. */
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** The smallest body that an operation with this path takes. */
export function bodyFor(path: string): string {
  if (path.endsWith('/deadline')) return '{"seconds":60}';
  if (path.endsWith('/signal')) return '{"signal":"INT"}';
  return path.endsWith('/resize') ? '{"rows":1,"columns":1}' : '{}';
}

/** What MCP tools about a VM need beside its name. */
export const NAMED_ARGUMENTS: Readonly<Record<string, object>> = {
  'volant.vms.deadline': { seconds: 60 },
  'volant.vms.exec.output': { id: 'a' },
  'volant.vms.exec.stdin': { id: 'a', input: '' },
  'volant.vms.exec.signal': { id: 'a', signal: 'SIGINT' },
};

const PREFLIGHT = { 'Access-Control-Request-Method': 'DELETE' };

/** Of every operation, and of what the table does not have. */
export const EVERY_ROUTE: readonly RouteRequest[] = [
  ...operations.map(({ method, path, request }) => ({
    target: `${method} ${path.replaceAll(/\{\w+\}/g, 'one')}`,
    ...(request === undefined ? {} : { body: '{}' }),
  })),
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].map((method) => ({
    target: `${method} /api/v1/vms/one/agent/v1/`,
  })),
  { target: 'GET /ws/v1/vms/one/console', headers: UPGRADE },
  { target: 'GET /ws/v1/vms/one/logs', headers: UPGRADE },
  { target: 'GET /ws/v1/vms/one/exec/one', headers: UPGRADE },
  { target: 'GET /ws/v1/vms/one/exec/one' },
  { target: 'GET /ws/v1/vms/one/console' },
  { target: 'GET /ui' },
  { target: 'GET /ui/' },
  { target: 'HEAD /ui/' },
  { target: 'HEAD /api/v1/vms' },
  { target: 'GET /api/v1/vms%3Flimit=1' },
  { target: 'GET /nowhere' },
  { target: 'POST /nowhere' },
  { target: 'PUT /api/v1/vms' },
  { target: 'OPTIONS /nowhere' },
  { target: 'OPTIONS /api/v1/vms/one', headers: PREFLIGHT },
  { target: 'OPTIONS /api/v1/vms/one/agent/v1/', headers: PREFLIGHT },
];
