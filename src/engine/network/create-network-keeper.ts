// engine, network: the keeper of the network, joined with what the rest of the engine knows.

import type { Config } from '../../config.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { ConditionKeeper } from '../conditions/condition-keeper.ts';
import type { Exposures } from '../exposures/exposures.ts';
import type { HostFacts } from '../host-facts.ts';
import type { NetworkHost } from '../network-ports.ts';
import type { State } from '../state.ts';
import { DriftNews } from './drift-news.ts';
import { NetworkKeeper } from './network-keeper.ts';
import { wantedNetwork } from './wanted-network.ts';

export interface NetworkWorld {
  readonly config: Pick<Config, 'antiSpoofing'>;
  readonly host: NetworkHost;
  readonly hostFacts: HostFacts;
  readonly state: State;
  /** Which VM's hypervisor was seen to run, and not to end. */
  readonly live: { runningVm(vmId: number): unknown };
  readonly exposures: Exposures;
  readonly conditions: Pick<ConditionKeeper, 'seeNetwork'>;
  readonly clock: Clock;
  readonly log: Logger;
}

export function createNetworkKeeper(world: NetworkWorld): NetworkKeeper {
  const { config, host, hostFacts, state, live, exposures, clock, log } = world;
  const isAlive = (vmId: number) => live.runningVm(vmId) !== undefined;
  const wanted = () =>
    wantedNetwork({
      records: state.vms.records(),
      spec: hostFacts.networkSpec,
      shardOf: (guest) => hostFacts.placeOf(guest).shard,
      isAlive,
      isMade: hostFacts.networkIsMade,
      antiSpoofing: config.antiSpoofing,
      forwards: exposures.forwards,
    });
  const { ledger } = hostFacts;
  const retryPorts = () => exposures.retry();
  const news = new DriftNews({
    state,
    networkName: hostFacts.networkSpec.bridge,
    see: (differing) => world.conditions.seeNetwork(differing),
    clock,
    log,
  });
  return new NetworkKeeper({ host, wanted, isAlive, retryPorts, ledger, news, log });
}
