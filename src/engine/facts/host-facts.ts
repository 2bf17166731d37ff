// engine, facts: facts about the host that are not asked for each VM: its hypervisor, its name servers, the guests'
// network. Failures are not cached, because what is missing can be installed while the daemon runs.

import { LIMITS } from '../../config/limits.ts';
import type { Config } from '../../config.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import { formatIpv4, parseIpv4 } from '../../lib/net/ipv4.ts';
import { wantedGuests } from '../network/wanted-network.ts';
import type {
  GuestIdentity,
  HostLedger,
  NetworkHost,
  NetworkSpec,
} from '../ports/network-ports.ts';
import type { HypervisorFacts } from '../ports/process-ports.ts';
import type { HostChanges } from '../records.ts';
import type { State } from '../state/state.ts';
import type { HypervisorProbe } from './hypervisor-probe.ts';

/** How long the host's name servers are cached. */
const NAME_SERVERS_TTL_MS = 30_000;

/** The problem to report if guests cannot resolve names. */
export const NO_NAME_SERVERS =
  'guests have no name server: those of the host are on its loopback interface, which guests cannot reach; set VOLANT_DNS';

export class HostFacts {
  readonly networkSpec: NetworkSpec;
  readonly #config: Config;
  readonly #host: Pick<NetworkHost, 'nameServers' | 'ensureNetwork' | 'removeNetwork'>;
  readonly #state: State;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #probe: HypervisorProbe;
  #hostChanges: HostChanges;
  #networkIsMade = false;
  #nameServers: { readonly list: readonly string[]; readonly readAtMs: number } | undefined;

  constructor(parts: {
    config: Config;
    host: Pick<NetworkHost, 'nameServers' | 'ensureNetwork' | 'removeNetwork'>;
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

  /** The result of the last probe. HYPERVISOR_MISSING and HOST_PERMISSION are not cached. */
  hypervisor(): Promise<HypervisorFacts> {
    return this.#probe.facts();
  }

  /** Ends the probes. */
  close(): void {
    this.#probe.close();
  }

  /** The name servers for guests: those of the settings, else the host's. */
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
   * The bridge for a guest. The subnet is divided into ranges as large as the number of taps that a bridge can have,
   * and each range has a bridge. null for a guest without a known address: any bridge for such guests.
   */
  bridgeOf({ ipAddress }: GuestIdentity) {
    const address = ipAddress === null ? null : parseIpv4(ipAddress);
    const bridgeNumber =
      address === null
        ? null
        : Math.floor((address - this.#config.subnet.base) / LIMITS.bridgeTapsMax);
    return { spec: this.networkSpec, bridgeNumber };
  }

  /** Whether this daemon has made the network and not removed it. */
  get networkIsMade(): boolean {
    return this.#networkIsMade;
  }

  /** Where changes to the host are stored, so that they can be undone. */
  get ledger(): HostLedger {
    return {
      changes: () => this.#hostChanges,
      remember: (changes) => this.#remember(changes),
    };
  }

  /** Makes the guests' network. Changes to the host are stored before. */
  async ensureNetwork(): Promise<void> {
    const guests = () =>
      wantedGuests({
        records: this.#state.vms.active(),
        bridgeNumberOf: (guest) => this.bridgeOf(guest).bridgeNumber,
        // A guest that is starting or stopping may send, too.
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

  /** Undoes all changes to the host. */
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
