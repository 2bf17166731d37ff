// client: requests to the agent in a guest, and through it to the workload.

import { type Call, type CallOptions, type Http, path } from './http.ts';

export interface AgentRequest extends CallOptions, Pick<Call, 'query' | 'headers' | 'body'> {
  readonly method?: Call['method'];
  /** Sent as JSON; use either this or `body`. */
  readonly json?: unknown;
}

export class Agent {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /**
   * Sends a request to the agent of a VM, such as `/v1/` for its workload. The answer is given out as it
   * is, whatever its status: it may be the workload's, or the daemon's when the agent is out of reach.
   * It is not asked again, and only its head has a bound. A redirect is not followed: it is the guest's word, and the
   * request would be sent on with the key. A browser hides it (its type is "opaqueredirect"). Throws a TypeError for a
   * path with a segment "." or "..", escaped or not: it would leave the agent, and mean something else to the daemon.
   */
  request(vmName: string, agentPath: string, request: AgentRequest = {}): Promise<Response> {
    const { method = 'GET', signal, timeoutMs, ...rest } = request;
    const below = agentPath.replace(/^\/+/, '');
    if (climbs(below)) throw new TypeError(`${agentPath} has a segment "." or ".."`);
    return this.#http.open({
      ...rest,
      method,
      redirect: 'manual',
      path: `${path`/api/v1/vms/${vmName}/agent/`}${below}`,
      options: {
        ...(signal === undefined ? {} : { signal }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
      },
    });
  }

  /** Runs an action of a plugin's manifest in a VM. null when the workload has nothing to say. */
  async action(
    vmName: string,
    plugin: string,
    action: string,
    json: Readonly<Record<string, unknown>> = {},
    options?: CallOptions,
  ): Promise<unknown> {
    const actionPath = path`/api/v1/vms/${vmName}/actions/${plugin}/${action}`;
    const call = { method: 'POST', path: actionPath, json, options } as const;
    return this.#http.exchange(call, async (response) => {
      const text = await response.text();
      return text === '' ? null : JSON.parse(text);
    });
  }
}

/** URL parsers drop tabs and line ends, take backslashes for slashes, and resolve dots that are escaped. */
function climbs(agentPath: string): boolean {
  const [beforeQuery = ''] = agentPath.replaceAll(/[\t\r\n]/g, '').split(/[?#]/);
  const plain = beforeQuery.replaceAll(/%(25)*2e/gi, '.').replaceAll(/\\|%(25)*(2f|5c)/gi, '/');
  return plain.split('/').some((segment) => segment === '.' || segment === '..');
}
