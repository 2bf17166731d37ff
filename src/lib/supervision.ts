// lib: who starts the daemon again when it dies. The supervisor tells it on the command line; what a
// supervisor does stands in scripts/supervise.mjs and in the unit of systemd.

const SUPERVISORS = ['none', 'volant', 'systemd'] as const;

/** What `supervisor` of GET /api/v1/system/info says. */
export interface Supervision {
  readonly kind: (typeof SUPERVISORS)[number];
  /** The unit of systemd; null where that is not the supervisor. */
  readonly unit: string | null;
  /** How often it has started the daemon again; null where only the supervisor knows. */
  readonly restarts: number | null;
  /** The exit status or signal of the daemon before this one; null when it is the first, or not known. */
  readonly last_exit: string | null;
}

export const UNSUPERVISED: Supervision = {
  kind: 'none',
  unit: null,
  restarts: null,
  last_exit: null,
};

/** A supervisor that is gone starts nothing again: the daemon then has another parent. */
export function watchSupervision(given: Supervision): () => Supervision {
  const parent = process.ppid;
  return () => (process.ppid === parent ? given : UNSUPERVISED);
}

export function isSupervisor(text: string): text is Supervision['kind'] {
  return SUPERVISORS.some((kind) => kind === text);
}
