// engine: builds the network keeper from the parts of the engine.

import type { Config } from '../config.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log/log.ts';
import type { ConditionKeeper } from './conditions/condition-keeper.ts';
import type { HostFacts } from './facts/host-facts.ts';
import { DriftReporter } from './network/drift-reporter.ts';
import { NetworkKeeper } from './network/network-keeper.ts';
import { wantedNetwork } from './network/wanted-network.ts';
import type { NetworkHost } from './ports/network-ports.ts';
import type { PortPublisher } from './published-ports/port-publisher.ts';
import type { State } from './state/state.ts';

export interface NetworkWorld {
  readonly config: Pick<Config, 'antiSpoofing'>;
  readonly host: NetworkHost;
  readonly hostFacts: HostFacts;
  readonly state: State;
  /** The running hypervisor of a VM; undefined if it has none. */
  readonly live: { runningVm(vmId: number): unknown };
  readonly publisher: PortPublisher;
  readonly conditions: Pick<ConditionKeeper, 'observeNetwork'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Builds the keeper; it does nothing before `start`. */
export function createNetworkKeeper(world: NetworkWorld): NetworkKeeper {
  const { config, host, hostFacts, state, live, publisher, clock, log } = world;
  const isAlive = (vmId: number) => live.runningVm(vmId) !== undefined;
  const wanted = () =>
    wantedNetwork({
      records: state.vms.active(),
      spec: hostFacts.networkSpec,
      bridgeNumberOf: (guest) => hostFacts.bridgeOf(guest).bridgeNumber,
      isAlive,
      isMade: hostFacts.networkIsMade,
      antiSpoofing: config.antiSpoofing,
      forwards: publisher.forwards,
    });
  const { ledger } = hostFacts;
  const retryPorts = () => publisher.retry();
  const reporter = new DriftReporter({
    state,
    networkName: hostFacts.networkSpec.bridge,
    observe: (differing) => world.conditions.observeNetwork(differing),
    clock,
    log,
  });
  return new NetworkKeeper({ host, wanted, isAlive, retryPorts, ledger, reporter, log });
}
