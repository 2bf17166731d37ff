// jobs, network: reads and writes the kernel's IPv4 settings that the guests' network needs.

import { readFileSync, writeFileSync } from 'node:fs';
import { errnoOf } from '../fault.ts';

const IPV4 = '/proc/sys/net/ipv4';
const IP_FORWARD = `${IPV4}/ip_forward`;

const routeLocalnetPath = (bridge: string) => `${IPV4}/conf/${bridge}/route_localnet`;

export const readIpForward = (): string => readFileSync(IP_FORWARD, 'utf8').trim();

/** Does not write a value that is set already: the file may be read-only. */
export function writeIpForward(value: string): void {
  if (readIpForward() !== value) writeFileSync(IP_FORWARD, `${value}\n`);
}

/** For an interface that does not exist, returns the default of new interfaces. */
export function readRouteLocalnet(bridge: string): string {
  try {
    return readFileSync(routeLocalnetPath(bridge), 'utf8').trim();
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return readFileSync(routeLocalnetPath('default'), 'utf8').trim();
  }
}

/**
 * Hides the host on this interface: it answers no ARP request (8 is "never", see ip-sysctl in the kernel's
 * documentation) and forwards nothing that arrives there.
 */
export function hideHostFrom(name: string): void {
  writeFileSync(`${IPV4}/conf/${name}/arp_ignore`, '8\n');
  writeFileSync(`${IPV4}/conf/${name}/forwarding`, '0\n');
}

/** An interface that does not exist has no setting; that is no error. */
export function writeRouteLocalnet(bridge: string, value: string): void {
  try {
    writeFileSync(routeLocalnetPath(bridge), `${value}\n`);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
