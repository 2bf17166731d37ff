// config: the limits of a guest's boot, as part of LIMITS.

export const BOOT_LIMITS = {
  /** A guest whose agent has not answered releases its boot slot after this time. */
  bootTimeoutMs: 20_000,
  /** Like bootTimeoutMs, for a plugin whose last guest booted without an agent. */
  silentBootMs: 2_000,
  /** From then on a guest whose agent should answer is looked at, at this interval. */
  bootLookMs: 5_000,
  /** A guest that has used so much processor time before its agent answers hangs: a boot takes two or three seconds. */
  bootProcessorSecondsMax: 20,
  /** A guest that has not booted this long after it was looked at first hangs, however little time it has used. */
  bootHungMs: 180_000,
  /** Maximum number of launches of a guest that hangs in its boot or has a broken clock, the first one included. */
  bootAttemptsMax: 4,
  /** Plugins that are remembered to have an agent or none. */
  bootPluginsMax: 4096,
  /** A guest that reboots is launched again, at most this often in this time. */
  rebootsMax: 5,
  rebootWindowMs: 600_000,
  /** A canary guest must have booted under KVM in this time. */
  kvmCanaryTimeoutMs: 10_000,
  /** A trial that timed out is repeated after a pause, which grows by the factor from the first value to the second. */
  kvmRetryMinMs: 60_000,
  kvmRetryMaxMs: 21_600_000,
  kvmRetryFactor: 4,
  /** A trial that failed otherwise is repeated after this time. */
  kvmFailedKeepMs: 86_400_000,
} as const;
