// engine, network: the egress rules of VMs: changes them while a guest runs, and reads what was counted. The rules are part of
// a VM's record; the kernel gets them with the tap of a launch, or from here.

import type { EgressRules } from '../../lib/net/egress.ts';
import type { EgressStatus } from '../../schema/egress.ts';
import type { EgressApi } from '../engine-api.ts';
import type { EgressCount, NetworkHost, NetworkSpec } from '../ports/network-ports.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import { guestOf } from '../vm-record/derived-names.ts';
import { withRules } from '../vm-record/record-egress.ts';

export interface EgressParts {
  readonly host: Pick<NetworkHost, 'setEgress' | 'countEgress'>;
  readonly hostFacts: { readonly networkSpec: NetworkSpec; ensureNetwork(): Promise<void> };
  readonly state: State;
}

export class Egress implements EgressApi {
  readonly #parts: EgressParts;

  constructor(parts: EgressParts) {
    this.#parts = parts;
  }

  /**
   * Holds a guest that may run to these rules, or to none, and ends its connections that they forbid. Resolves when the kernel
   * has them. Throws HOST_OPERATION_FAILED; it is not known then which rules the guest has, and a check of the network puts
   * those of its record back.
   */
  async set(record: VmRecord, rules: EgressRules | undefined): Promise<void> {
    const { host, hostFacts } = this.#parts;
    const guest = guestOf(withRules(record, rules));
    if (guest === null) return;
    // A daemon that has just started may not have written its tables yet.
    await hostFacts.ensureNetwork();
    await host.setEgress(hostFacts.networkSpec, guest);
  }

  async status(vmName: string): Promise<EgressStatus> {
    const record = this.#parts.state.require(vmName);
    const { egress = null, leases } = record;
    const counts = egress === null ? [] : await this.#parts.host.countEgress();
    const count = counts.find(({ ipAddress }) => ipAddress === leases.ipAddress);
    return {
      rules: egress && {
        default: egress.default,
        allow: [...egress.allow],
        deny: [...egress.deny],
      },
      in_force: count !== undefined,
      packets: count?.packets ?? 0,
      bytes: count?.bytes ?? 0,
      refused_packets: count?.refusedPackets ?? 0,
      refused_bytes: count?.refusedBytes ?? 0,
    };
  }

  async counts(): Promise<ReadonlyMap<string, EgressCount>> {
    const { host, state } = this.#parts;
    const holders = new Map(
      state.vms
        .active()
        .flatMap(({ name, egress, leases: { ipAddress } }) =>
          egress === undefined || ipAddress === null ? [] : [[ipAddress, name] as const],
        ),
    );
    // Without a guest with rules there may be no tables.
    if (holders.size === 0) return new Map();
    const counts = await host.countEgress();
    return new Map(
      counts.flatMap((count) => {
        const name = holders.get(count.ipAddress);
        return name === undefined ? [] : [[name, count] as const];
      }),
    );
  }
}
