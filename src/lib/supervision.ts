// lib: which supervisor restarts the daemon when it dies. The supervisor passes this on the command line. Supervisors
// are scripts/supervise.mjs and systemd units.

const SUPERVISORS = ['none', 'volant', 'systemd'] as const;

/** The member `supervisor` of GET /api/v1/system/info. */
export interface Supervision {
  readonly kind: (typeof SUPERVISORS)[number];
  /** The systemd unit; null for another supervisor. */
  readonly unit: string | null;
  /** How often it has restarted the daemon; null: only the supervisor knows. */
  readonly restarts: number | null;
  /** The exit status or signal of the previous daemon; null: there was none, or it is unknown. */
  readonly last_exit: string | null;
}

export const UNSUPERVISED: Supervision = {
  kind: 'none',
  unit: null,
  restarts: null,
  last_exit: null,
};

/**
 * Returns the current supervision. When the supervisor has ended, the daemon has another parent and nothing would
 * restart it.
 */
export function watchSupervision(given: Supervision): () => Supervision {
  const parent = process.ppid;
  return () => (process.ppid === parent ? given : UNSUPERVISED);
}

export function isSupervisor(text: string): text is Supervision['kind'] {
  return SUPERVISORS.some((kind) => kind === text);
}
