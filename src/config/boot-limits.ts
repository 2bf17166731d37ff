// config: the limits of a guest's boot, as part of LIMITS.

export const BOOT_LIMITS = {
  /** A guest whose agent was not heard of gives its place among those that boot back after so long. */
  bootTimeoutMs: 20_000,
  /** As bootTimeoutMs, for a guest of a plugin whose last guest has booted without an agent. */
  silentBootMs: 2_000,
  /** Launches of a guest that comes up with a broken clock, the first one included. */
  bootAttemptsMax: 4,
  /** Plugins of which it is known whether their guests have an agent. */
  bootPluginsMax: 4096,
  /** A guest that reboots is launched again, so often within so long. */
  rebootsMax: 5,
  rebootWindowMs: 600_000,
  /** A canary guest must have booted under KVM in this time. */
  kvmCanaryTimeoutMs: 10_000,
  /** One that did not is tried again after a pause that grows so many times from the first to the second. */
  kvmRetryMinMs: 60_000,
  kvmRetryMaxMs: 21_600_000,
  kvmRetryFactor: 4,
  /** One that failed otherwise is tried again after so long. */
  kvmFailedKeepMs: 86_400_000,
} as const;
