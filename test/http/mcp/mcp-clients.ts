// test helpers: the official clients of both generations, connected to a server of the test.

import type { TestContext } from 'node:test';
import {
  Client as ModernClient,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client';
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

// biome-ignore lint/suspicious/noExplicitAny: answers are compared, whatever they hold
export type Json = any;

const INFO = { name: 'volant-test', version: '1' };

/** What both clients can do, in the words of both. */
export interface Client {
  listTools(): Promise<Json>;
  callTool(params: { name: string; arguments?: Record<string, unknown> }): Promise<Json>;
  listResources(params?: { cursor: string }): Promise<Json>;
  listResourceTemplates(): Promise<Json>;
  readResource(params: { uri: string }): Promise<Json>;
  getServerVersion(): Json;
  getServerCapabilities(): Json;
}

/** A daemon, or a server that stands for one. */
export interface Endpoint {
  readonly url: string;
}

const endpoint = ({ url }: Endpoint) => new URL('/api/v1/mcp', url);

export async function legacyClient(t: TestContext, served: Endpoint): Promise<LegacyClient> {
  const client = new LegacyClient(INFO);
  // Its types do not stand exactOptionalPropertyTypes.
  await client.connect(new LegacyTransport(endpoint(served)) as Json);
  t.after(() => client.close());
  return client;
}

export async function modernClient(t: TestContext, served: Endpoint): Promise<ModernClient> {
  const client = new ModernClient(INFO, { versionNegotiation: { mode: 'auto' } });
  await client.connect(new StreamableHTTPClientTransport(endpoint(served)));
  t.after(() => client.close());
  return client;
}

export const GENERATIONS: readonly (readonly [
  string,
  (t: TestContext, served: Endpoint) => Promise<Client>,
])[] = [
  ['the client with a handshake', legacyClient],
  ['the client of 2026-07-28', modernClient],
];
