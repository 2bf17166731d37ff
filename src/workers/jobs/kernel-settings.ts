// workers, job: settings of the kernel's IPv4 that the guests' network needs.

import { readFileSync, writeFileSync } from 'node:fs';
import { errnoOf } from './fault.ts';

const IPV4 = '/proc/sys/net/ipv4';
const IP_FORWARD = `${IPV4}/ip_forward`;

const routeLocalnetPath = (bridge: string) => `${IPV4}/conf/${bridge}/route_localnet`;

export const readIpForward = (): string => readFileSync(IP_FORWARD, 'utf8').trim();

/** One that is right already is not written: it may be read-only. */
export function writeIpForward(value: string): void {
  if (readIpForward() !== value) writeFileSync(IP_FORWARD, `${value}\n`);
}

/** Of an interface that is not there: what it would begin with. */
export function readRouteLocalnet(bridge: string): string {
  try {
    return readFileSync(routeLocalnetPath(bridge), 'utf8').trim();
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return readFileSync(routeLocalnetPath('default'), 'utf8').trim();
  }
}

/**
 * The host is not there on this interface: it does not say that it has an address (8 is never, see ip-sysctl in
 * the kernel's documentation), and forwards nothing that comes by it.
 */
export function hideHostFrom(name: string): void {
  writeFileSync(`${IPV4}/conf/${name}/arp_ignore`, '8\n');
  writeFileSync(`${IPV4}/conf/${name}/forwarding`, '0\n');
}

/** An interface that is gone has no setting any more. */
export function writeRouteLocalnet(bridge: string, value: string): void {
  try {
    writeFileSync(routeLocalnetPath(bridge), `${value}\n`);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
