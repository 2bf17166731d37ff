// test: a stand-in for the egress rules of running guests: it keeps those that each was given last.

import type { EgressCount, GuestIdentity } from '../../src/engine/ports/network-ports.ts';
import type { EgressRules } from '../../src/lib/net/egress.ts';
import { failIn } from './fake-devices.ts';
import { FakeImages } from './fake-images.ts';

/** The devices and images of a host, and what its guests may reach. */
export abstract class FakeEgress extends FakeImages {
  /** The rules that a running guest was given, by its tap; null for none. */
  readonly egress = new Map<string, EgressRules | null>();

  async setEgress(_: unknown, { tapName, egress }: GuestIdentity): Promise<void> {
    failIn(this.failures, 'setEgress');
    this.egress.set(tapName, egress ?? null);
  }

  /** What was counted of guests with rules. */
  egressCounts: readonly EgressCount[] = [];
  /** How often the counts were read. */
  egressCounted = 0;

  async countEgress(): Promise<readonly EgressCount[]> {
    this.egressCounted += 1;
    failIn(this.failures, 'countEgress');
    return this.egressCounts;
  }
}
