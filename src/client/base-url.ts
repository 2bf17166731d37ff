// client: where a daemon listens by default, and how a person writes its address.

export const DEFAULT_BASE_URL = 'http://127.0.0.1:7777';

/** `localhost:7777`, `10.0.0.1:7777`, `[::1]:7777`: an address without a scheme uses http. */
const HOST_AND_PORT = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}\/?$/;

/** The address of the API for a command: the value of its --api, or VOLANT_API_BASE of its environment. */
export function baseUrlOf(
  environment: Readonly<Record<string, string | undefined>>,
  option: string | undefined,
): string {
  const given = option ?? (environment['VOLANT_API_BASE'] || DEFAULT_BASE_URL);
  return HOST_AND_PORT.test(given) ? `http://${given}` : given;
}
