// test helpers: a server that answers what a run asks of a daemon, as slowly as a test wants, for what a real daemon cannot be
// made to do.

import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { GENERATOR_LIMITS } from '../../src/load/load-limits.ts';
import type { RunOptions } from '../../src/load/run/run-options.ts';
import type { Scenario } from '../../src/load/scenario/scenario.ts';
import { checkScenario } from '../../src/load/scenario/scenario-file.ts';

export interface FakeDaemon {
  readonly url: string;
  /** Requests for lists of VMs that a flow sent. */
  readonly lists: number;
}

/**
 * `list` answers a list of VMs of a flow; those of the cleanup have another query. `metrics` is the answer of /metrics; without
 * it there are none.
 */
export async function startFakeDaemon(
  t: TestContext,
  list: (answer: (status: number, body: unknown) => void) => void,
  metrics?: string,
): Promise<FakeDaemon> {
  let lists = 0;
  const server = createServer((request, response) => {
    request.resume();
    const url = new URL(request.url ?? '/', 'http://fake');
    const answer = (status: number, body: unknown) => send(response, status, body);
    if (url.pathname === '/api/v1/system/info') answer(200, { version: '9.9.9' });
    else if (url.pathname === '/metrics' && metrics !== undefined) response.end(metrics);
    else if (url.pathname === '/api/v1/deployments') answer(200, []);
    else if (url.pathname === '/api/v1/vms' && url.searchParams.has('q')) answer(200, []);
    else if (url.pathname === '/api/v1/vms') {
      lists += 1;
      list(answer);
    } else answer(404, { error: 'There is no such path', code: 'NOT_FOUND' });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    get lists() {
      return lists;
    },
  };
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json', 'X-Total-Count': '0' });
  response.end(JSON.stringify(body));
}

/** A machine that tests share may be slow, and then a run is not to be called invalid. */
export const PATIENT = {
  late_ms: 30_000,
  late_share_max: 1,
  loop_delay_ms_max: 30_000,
  cpu_share_max: 100,
  skipped_share_max: 1,
};

/** A scenario that only lists VMs. */
export function lists(phases: readonly object[], more: object = {}): Scenario {
  const operations = [{ do: 'list' }];
  return checkScenario({ name: 'lists', phases, operations, generator: PATIENT, ...more });
}

export function optionsOf(
  { url }: { readonly url: string },
  scenario: Scenario,
  more: Partial<RunOptions> = {},
): RunOptions {
  return { target: { url, apiKey: null, ca: null }, scenario, ...more };
}

/** With the limits that a run has unless it says otherwise. */
export function strict(scenario: Scenario): Scenario {
  return { ...scenario, generator: GENERATOR_LIMITS };
}

export interface RawRow {
  readonly phase: string;
  readonly kind: string;
  readonly operation: string;
  readonly process: string;
  readonly flow: string;
  readonly intendedMs: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly outcome: string;
}

/** The lines of a raw file without quoted fields. */
export function rawRows(text: string): RawRow[] {
  const [head = '', ...lines] = text.trimEnd().split('\n');
  if (!head.startsWith('phase,kind,operation,process,flow,intended_ms')) throw new Error(head);
  return lines.map((line) => {
    const [phase = '', kind = '', operation = '', process = '', flow = '', ...rest] =
      line.split(',');
    const [intended, start, end, outcome = ''] = rest;
    return {
      ...{ phase, kind, operation, process, flow, outcome },
      intendedMs: Number(intended),
      startMs: Number(start),
      endMs: Number(end),
    };
  });
}
