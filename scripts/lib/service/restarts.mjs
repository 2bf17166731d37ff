// scripts: when a daemon that died is restarted. Pure rules, used by scripts/supervise.mjs; the systemd unit has the same
// rules.

export const PAUSE_MIN_MS = 500;
export const PAUSE_MAX_MS = 30_000;
/** A daemon that lived this long was healthy: the backoff starts again after it. */
export const HEALTHY_AFTER_MS = 60_000;

/** Exit statuses without a restart: ended as requested; refused to start, see src/command.ts. */
export const FINAL_STATUSES = [0, 2];

/** The pause after a death, which doubles up to the maximum. */
export function nextPauseMs(previousPauseMs, livedMs) {
  if (previousPauseMs === null || livedMs >= HEALTHY_AFTER_MS) return PAUSE_MIN_MS;
  return Math.min(previousPauseMs * 2, PAUSE_MAX_MS);
}

/** How a process ended, for people: "status 1" or "SIGKILL". */
export function describeEnd({ status, signal }) {
  return signal ?? `status ${status}`;
}
