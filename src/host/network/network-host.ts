// host, network: the port NetworkHost: the guests' network and the host's ports that are published for guests.

import type {
  Forward,
  ForwardTarget,
  GuestIdentity,
  HeldPort,
  HostLedger,
  NetworkHost,
  NetworkRepair,
  NetworkSpec,
  PortProtocol,
} from '../../engine/ports/network-ports.ts';
import type { HostChanges } from '../../engine/records.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Run } from '../jobs/protocol.ts';
import type { GuestNetwork } from './guest-network.ts';
import type { Serve } from './held-ports.ts';
import { holdPublished } from './loopback-ports.ts';

/** Implements NetworkHost. The state is in GuestNetwork. */
export class HostNetwork implements NetworkHost {
  readonly #network: GuestNetwork;
  readonly #exposeAddress: string;
  readonly #run: Run;

  constructor(network: GuestNetwork, exposeAddress: string, run: Run) {
    this.#network = network;
    this.#exposeAddress = exposeAddress;
    this.#run = run;
  }

  ensureNetwork(spec: NetworkSpec, guests: () => readonly GuestIdentity[], ledger: HostLedger) {
    return this.#network.ensure(spec, guests, ledger);
  }

  readNetwork(spec: NetworkSpec, isNeeded: boolean) {
    return this.#network.read(spec, isNeeded);
  }

  repairNetwork(spec: NetworkSpec, repair: NetworkRepair, ledger: HostLedger): Promise<void> {
    return this.#network.mend(spec, repair, ledger);
  }

  watchNetwork(spec: NetworkSpec, onLost: (tapName: string | null) => void): void {
    this.#network.watch(spec, onLost);
  }

  removeNetwork(spec: NetworkSpec, changes: HostChanges): Promise<void> {
    return this.#network.remove(spec, changes);
  }

  setForwards(spec: NetworkSpec, forwards: readonly Forward[]): Promise<void> {
    return this.#network.setForwards(spec, forwards);
  }

  setEgress(spec: NetworkSpec, guest: GuestIdentity): Promise<void> {
    return this.#network.setEgress(spec, guest);
  }

  countEgress() {
    return this.#network.countEgress();
  }

  countConnections(targets: readonly ForwardTarget[]): Promise<number | null> {
    return this.#run('countConnections', { targets });
  }

  async holdPort(protocol: PortProtocol, port: number, serve: Serve): Promise<HeldPort> {
    try {
      return await holdPublished(protocol, this.#exposeAddress, port, serve);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      const asked = `${protocol} port ${port} of ${this.#exposeAddress}`;
      if (code !== 'EADDRINUSE') {
        throw new VolantError('HOST_OPERATION_FAILED', `The ${asked} cannot be used`, {
          cause: error,
        });
      }
      const owner = await this.#run('findPortOwner', { protocol, port });
      throw new VolantError('PORT_TAKEN', `The ${asked} belongs to ${owner ?? 'another program'}`);
    }
  }

  removeTap(tapName: string): Promise<void> {
    return this.#network.removeTap(tapName);
  }

  nameServers() {
    return this.#run('readNameServers', {});
  }
}
