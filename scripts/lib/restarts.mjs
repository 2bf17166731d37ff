// scripts: when a daemon that died is started again. Pure rules; scripts/supervise.mjs acts by them, and the
// unit of systemd says the same in its own words.

export const PAUSE_MIN_MS = 500;
export const PAUSE_MAX_MS = 30_000;
/** A daemon that lived for so long was healthy: its death is the first one again. */
export const HEALTHY_AFTER_MS = 60_000;

/** Exit statuses after which it is not started again: ended as asked; refused, see src/command.ts. */
export const FINAL_STATUSES = [0, 2];

/** The pause after a death, which doubles from the first to the longest. */
export function nextPauseMs(previousPauseMs, livedMs) {
  if (previousPauseMs === null || livedMs >= HEALTHY_AFTER_MS) return PAUSE_MIN_MS;
  return Math.min(previousPauseMs * 2, PAUSE_MAX_MS);
}

/** How a process ended, for people: "status 1" or "SIGKILL". */
export function describeEnd({ status, signal }) {
  return signal ?? `status ${status}`;
}
