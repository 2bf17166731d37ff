// host, network: which guest is held to which egress rules. This class is the only writer of the kernel's tables of them. The
// rules themselves are in jobs/network/egress.

import { LIMITS } from '../../config/limits.ts';
import type {
  EgressGuest,
  GuestIdentity,
  NetworkSpec,
  RulesState,
} from '../../engine/ports/network-ports.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import { hasNames, policyIdOf, policyOf } from '../../lib/net/egress.ts';
import type { ExitWatcher } from '../exit-watcher.ts';
import type { EgressReading, HostSettings, Run } from '../jobs/protocol.ts';
import { GuestTable, type TableChange } from './guest-table.ts';
import { namePoliciesOf, Resolvers } from './name-resolvers.ts';
import { compareRules } from './rules-state.ts';

/** What a reading of the tables may show, at one moment. */
export interface ExpectedEgress {
  /** The digest of each policy. */
  readonly policies: ReadonlyMap<string, string>;
  /** Policies that were being added or removed. */
  readonly changing: ReadonlySet<string>;
}

/** Keeps the kernel's egress rules equal to those of the guests that are attached. */
export class GuestEgress {
  readonly #settings: HostSettings;
  readonly #run: Run;
  /** Guests with rules. */
  readonly #table: GuestTable<EgressGuest>;
  /** The rules as they were read back after the last write. undefined: not written yet. */
  #rules: string | null | undefined;
  /** The digest of each policy as it was read back when it was added. */
  readonly #policies = new Map<string, string>();
  /** Policies that a change adds or removes right now. */
  #changing: ReadonlySet<string> = new Set();
  readonly #resolvers: Resolvers;

  constructor(settings: HostSettings, run: Run, exits: ExitWatcher, log: Logger) {
    this.#settings = settings;
    this.#run = run;
    const again = async () => {
      const { spec } = this.#table;
      if (spec !== null) await this.make(spec);
    };
    this.#resolvers = new Resolvers({ settings, run, exits, log, again });
    this.#table = new GuestTable({
      isSame,
      make: (spec, guests) => this.#make(spec, guests),
      change: (spec, change) => this.#change(spec, change),
    });
  }

  /** For `compare`: call it before the reading. */
  expected(): ExpectedEgress {
    return { policies: new Map(this.#policies), changing: this.#changing };
  }

  /**
   * Compares a reading of the kernel's tables with what was written last. `before` is what was expected before the reading:
   * a policy that was added or removed meanwhile may be in it or not.
   */
  compare({ rules, policies }: EgressReading, before: ExpectedEgress): RulesState {
    const state = compareRules(this.#rules, rules);
    if (state !== 'right') return state;
    const seen = new Map(policies.map(({ id, digest }) => [id, digest]));
    const now = this.#policies;
    const isSettled = (id: string) =>
      !before.changing.has(id) &&
      !this.#changing.has(id) &&
      before.policies.get(id) === now.get(id);
    const ids = new Set([...before.policies.keys(), ...now.keys(), ...seen.keys()]);
    const isRight = [...ids].every((id) => !isSettled(id) || seen.get(id) === now.get(id));
    return isRight ? 'right' : 'changed';
  }

  /** Adds guests that were attached before this daemon started. Only the first call has an effect. */
  addExisting(guests: readonly GuestIdentity[]): void {
    this.#table.addExisting(guests.flatMap((guest) => heldToRules(guest) ?? []));
  }

  /** Whether the guest of this tap is held to rules, so that connection tracking must forget it with its tap. */
  has(tapName: string): boolean {
    return this.#table.wanted.has(tapName);
  }

  /** Writes both tables, whatever the kernel has. */
  make(spec: NetworkSpec): Promise<void> {
    return this.#table.make(spec);
  }

  /**
   * Resolves when the kernel holds the guest to its rules, or to none. Open connections stay. Throws HOST_OPERATION_FAILED
   * when there is no resolver for its names: the guest is held to its rules then, and its look-ups are refused.
   */
  async add(spec: NetworkSpec, guest: GuestIdentity): Promise<void> {
    this.#requireResolver(guest);
    const had = this.has(guest.tapName);
    this.#table.set(guest.tapName, heldToRules(guest));
    const isKnown = had || this.has(guest.tapName);
    if (isKnown || !this.#table.isApplied) await this.#update(spec, guest.tapName);
    const why = guest.egress === undefined ? null : this.#resolvers.failureOf(guest.egress);
    if (why !== null)
      throw new VolantError('HOST_OPERATION_FAILED', `Names of egress rules: ${why}`);
  }

  /** Throws CAPACITY_EXHAUSTED when the guest's rules would be one policy with names too many. */
  #requireResolver({ tapName, egress: rules }: GuestIdentity): void {
    if (rules === undefined || !hasNames(policyOf(rules))) return;
    const others = [...this.#table.wanted.values()].filter((guest) => guest.tapName !== tapName);
    const policies = namePoliciesOf([...others, { rules }]);
    if (policies.size <= LIMITS.egressResolversMax) return;
    throw new VolantError(
      'CAPACITY_EXHAUSTED',
      `All guests together have at most ${LIMITS.egressResolversMax} different egress rules with names; give this one the rules of another guest`,
    );
  }

  /** Ends what runs in the background. Rules and resolvers stay. */
  close(): void {
    this.#resolvers.close();
  }

  /** The same for a guest that runs, whose open connections end where its rules forbid them. */
  async set(spec: NetworkSpec, guest: GuestIdentity): Promise<void> {
    await this.add(spec, guest);
    const present = this.#table.wanted.get(guest.tapName);
    if (present === undefined) return;
    await this.#run('cutConnections', { settings: this.#settings, spec, guests: [present] });
  }

  /** Resolves when the kernel's tables do not contain the guest; an unknown guest is no error. */
  async remove(tapName: string): Promise<void> {
    const { spec, isApplied } = this.#table;
    // While the kernel's tables are unknown, they may contain the guest.
    const mayHave = !isApplied || this.#table.has(tapName);
    this.#table.set(tapName, null);
    // Before the first write the tables of an earlier daemon stay; the first write replaces them.
    if (spec !== null && mayHave) await this.#update(spec, tapName);
  }

  /** Before addExisting the tables of an earlier daemon stay: without it other guests would be without rules. */
  async #update(spec: NetworkSpec, tapName: string): Promise<void> {
    if (this.#table.knowsExisting) await this.#table.update(spec, tapName);
  }

  async #make(spec: NetworkSpec, guests: readonly EgressGuest[]): Promise<void> {
    const resolvers = await this.#resolvers.serve(spec, guests);
    const argument = { settings: this.#settings, spec, guests, resolvers };
    this.#rules = undefined;
    const { rules, policies } = await this.#run('makeEgress', argument);
    this.#rules = rules;
    this.#policies.clear();
    for (const { id, digest } of policies) this.#policies.set(id, digest);
  }

  async #change(spec: NetworkSpec, change: TableChange<EgressGuest>): Promise<void> {
    const { left, admitted } = change;
    const staying = [...change.staying.values()];
    const present = [...staying, ...admitted];
    const resolvers = await this.#resolvers.serve(spec, present);
    const argument = { settings: this.#settings, spec, left, admitted, staying, resolvers };
    const ids = new Set(present.map(({ rules }) => policyIdOf(rules)));
    const gone = [...this.#policies.keys()].filter((id) => !ids.has(id));
    this.#changing = new Set([...gone, ...[...ids].filter((id) => !this.#policies.has(id))]);
    try {
      const added = await this.#run('changeEgress', argument);
      for (const { id, digest } of added) this.#policies.set(id, digest);
      for (const id of gone) this.#policies.delete(id);
    } finally {
      this.#changing = new Set();
    }
  }
}

/** null: the guest has no rules, or no address that they could hold. */
function heldToRules({ tapName, ipAddress, egress: rules }: GuestIdentity): EgressGuest | null {
  return rules === undefined || ipAddress === null ? null : { tapName, ipAddress, rules };
}

function isSame(one: EgressGuest, other: EgressGuest): boolean {
  return one.ipAddress === other.ipAddress && policyIdOf(one.rules) === policyIdOf(other.rules);
}
