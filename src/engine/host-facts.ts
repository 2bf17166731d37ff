// engine: what is known about the host and need not be asked for each VM: its hypervisor, its name
// servers, the guests' network. Failures are not remembered: what is missing can be installed while
// the daemon runs.

import { type Config, LIMITS } from '../config.ts';
import type { Clock } from '../lib/clock.ts';
import { formatIpv4, parseIpv4 } from '../lib/ipv4.ts';
import type { Logger } from '../lib/log.ts';
import type { HypervisorProbe } from './hypervisor-probe.ts';
import { wantedGuests } from './network/wanted-network.ts';
import type { GuestIdentity, HostLedger, NetworkSpec } from './network-ports.ts';
import type { HostPort, HypervisorFacts } from './ports.ts';
import type { HostChanges } from './records.ts';
import type { State } from './state.ts';

/** The host's name servers are read again after so long. */
const NAME_SERVERS_TTL_MS = 30_000;

/** What an operator is told where guests cannot resolve names. */
export const NO_NAME_SERVERS =
  'guests have no name server: the host has none but on its loopback, which no guest reaches; set VOLANT_DNS';

export class HostFacts {
  readonly networkSpec: NetworkSpec;
  readonly #config: Config;
  readonly #host: HostPort;
  readonly #state: State;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #probe: HypervisorProbe;
  #hostChanges: HostChanges;
  #networkIsMade = false;
  #nameServers: { readonly list: readonly string[]; readonly readAtMs: number } | undefined;

  constructor(parts: {
    config: Config;
    host: HostPort;
    state: State;
    clock: Clock;
    probe: HypervisorProbe;
    hostChanges: HostChanges;
    log: Logger;
  }) {
    this.#config = parts.config;
    this.networkSpec = networkSpecOf(parts.config);
    this.#host = parts.host;
    this.#state = parts.state;
    this.#clock = parts.clock;
    this.#probe = parts.probe;
    this.#hostChanges = parts.hostChanges;
    this.#log = parts.log;
  }

  /** As it was found out last. HYPERVISOR_MISSING and HOST_PERMISSION are asked again at the next call. */
  hypervisor(): Promise<HypervisorFacts> {
    return this.#probe.facts();
  }

  /** Looks for nothing any more. */
  close(): void {
    this.#probe.close();
  }

  async nameServers(): Promise<readonly string[]> {
    if (this.#config.nameServers.length > 0) return this.#config.nameServers;
    const nowMs = this.#clock.monotonicMs();
    if (
      this.#nameServers === undefined ||
      nowMs - this.#nameServers.readAtMs > NAME_SERVERS_TTL_MS
    ) {
      const hadSome = this.#nameServers?.list.length !== 0;
      const list = await this.#host.nameServers();
      if (list.length === 0 && hadSome) this.#log.warn({}, NO_NAME_SERVERS);
      this.#nameServers = { list, readAtMs: nowMs };
    }
    return this.#nameServers.list;
  }

  /**
   * An address is one guest's: as many of them as a bridge has room for make a shard. null, where the address
   * is not known here: any of the shards for such guests.
   */
  placeOf({ ipAddress }: GuestIdentity) {
    const address = ipAddress === null ? null : parseIpv4(ipAddress);
    const shard =
      address === null
        ? null
        : Math.floor((address - this.#config.subnet.base) / LIMITS.bridgeTapsMax);
    return { spec: this.networkSpec, shard };
  }

  /** It was made by this daemon, and not removed. */
  get networkIsMade(): boolean {
    return this.#networkIsMade;
  }

  /** Where it is written down what is changed on the host, so that it can be put back. */
  get ledger(): HostLedger {
    return {
      changes: () => this.#hostChanges,
      remember: (changes) => this.#remember(changes),
    };
  }

  /** Makes the guests' network. What is changed for it is written down before. */
  async ensureNetwork(): Promise<void> {
    const guests = () =>
      wantedGuests({
        records: this.#state.vms.records(),
        shardOf: (guest) => this.placeOf(guest).shard,
        // Whoever may come or go may send.
        isAlive: () => true,
      }).map(({ guest }) => guest);
    await this.#host.ensureNetwork(this.networkSpec, guests, this.ledger);
    this.#networkIsMade = true;
  }

  async #remember(changes: HostChanges): Promise<void> {
    if (JSON.stringify(changes) === JSON.stringify(this.#hostChanges)) return;
    await this.#state.commit([{ table: 'meta', key: 'hostChanges', value: changes }], []);
    this.#hostChanges = changes;
  }

  /** Puts the host back as it was before the first VM. */
  async removeNetwork(): Promise<void> {
    await this.#host.removeNetwork(this.networkSpec, this.#hostChanges);
    this.#networkIsMade = false;
    this.#hostChanges = {};
    await this.#state.commit([{ table: 'meta', key: 'hostChanges', value: null }], []);
  }
}

function networkSpecOf({ bridge, hostIp, subnet, exposeAddress }: Config): NetworkSpec {
  return {
    bridge,
    hostIp,
    exposeAddress,
    prefixLength: subnet.prefixLength,
    subnet: `${formatIpv4(subnet.base)}/${subnet.prefixLength}`,
  };
}
