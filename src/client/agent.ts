// client: requests to the agent in a guest, and through it to the workload.

import { type Call, type CallOptions, type Http, path } from './http.ts';

export interface AgentRequest extends CallOptions, Pick<Call, 'query' | 'headers' | 'body'> {
  readonly method?: Call['method'];
  /** Sent as JSON. Set either this or `body`. */
  readonly json?: unknown;
}

export class Agent {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /**
   * Sends a request to the agent of a VM, such as `/v1/` for its workload. The answer is returned unchanged, whatever its
   * status: it comes from the workload, or from the daemon if the agent cannot be reached. The request is not retried, and
   * its timeout ends with the head of the answer. Redirects are not followed: the target comes from the guest, and the
   * request would be sent there with the API key. A browser hides a redirect (its type is "opaqueredirect"). Throws a
   * TypeError for a path with a segment "." or "..", escaped or not, because it would lead out of the agent.
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

  /** Runs an action of a plugin's manifest in a VM. null if the answer of the workload is empty. */
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

/** URL parsers drop tabs and line breaks, treat backslashes as slashes, and resolve escaped dots. */
function climbs(agentPath: string): boolean {
  const [beforeQuery = ''] = agentPath.replaceAll(/[\t\r\n]/g, '').split(/[?#]/);
  const plain = beforeQuery.replaceAll(/%(25)*2e/gi, '.').replaceAll(/\\|%(25)*(2f|5c)/gi, '/');
  return plain.split('/').some((segment) => segment === '.' || segment === '..');
}
