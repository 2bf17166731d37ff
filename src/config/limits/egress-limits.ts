// config: the limits of egress rules, as part of LIMITS.

export const EGRESS_LIMITS = {
  /** Entries of the egress rules of one VM, allowed and denied together. */
  egressEntriesMax: 128,
  /** Names among them. */
  egressNamesMax: 64,
  /** Addresses of names in one set of a policy. Further ones stay closed. */
  egressAddressesLearnedMax: 4096,
  /**
   * One half of the addresses of names is forgotten so often, so an address is open for this time after the last answer that
   * had it, and for at most twice as long. No answer to a guest has a longer time to live.
   */
  egressLearnedMs: 60_000,
  /** Different rules with names among all guests: each has a resolver, on a port of the host's own address from the first on. */
  egressResolversMax: 64,
  egressResolverPortFirst: 20_053,
  /** Look-ups of one guest in a second. Further ones are refused. */
  egressLookUpsPerSecondMax: 100,
} as const;
