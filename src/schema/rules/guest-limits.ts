// schema: limits of the guest's agent for manifests. Generated from native/guest/manifest-limits.json: npm run guest-limits.

export const GUEST_LIMITS = {
  /** The manifest as JSON. */
  manifestBytesMax: 4_194_304,
  /** Values inside of values, the manifest itself not counted. */
  jsonDepthMax: 32,
  /** Values of a manifest, at all depths. */
  jsonValuesMax: 20_000,
  /** Members of the entrypoint. */
  argumentsMax: 256,
  /** Members of the environment. */
  variablesMax: 512,
  /** One argument, or a variable with its name and "=": Linux takes 32 pages, the NUL included. */
  argumentBytesMax: 131_071,
  /** All arguments and variables, each with its NUL and 8 bytes: half of what Linux takes. */
  executeBytesMax: 1_048_576,
  /** A path of the guest: Linux takes 4096 bytes, the NUL included. */
  pathBytesMax: 4_095,
  /** User and group of the workload, each a name or number. */
  userBytesMax: 255,
  /** The path of the base URL. */
  baseUrlPathBytesMax: 255,
  /** The path of the health check. */
  healthEndpointBytesMax: 300,
  /** Members of the command of the health check. */
  healthCommandArgumentsMax: 32,
  /** The command of the health check, each argument with its NUL. */
  healthCommandBytesMax: 4_096,
  /** Between two health checks. */
  healthIntervalMsMin: 100,
  /** Between two health checks. */
  healthIntervalMsMax: 3_600_000,
  /** For one health check. */
  healthProbeTimeoutMsMax: 600_000,
  /** Health checks that fail in a row before the workload counts as unhealthy. */
  healthRetriesMax: 100,
  /** The method of a request, all of it upper-case letters. */
  requestMethodBytesMax: 15,
  /** Path and query of a request to the agent. */
  requestTargetBytesMax: 4_095,
  /** Port of the metadata service on the loopback address of the guest. */
  metadataPort: 8_169,
  /** What the metadata service tells of a VM, as JSON. */
  metadataBytesMax: 262_144,
  /** A result that the guest posts. */
  resultBytesMax: 65_536,
  /** Results that the guest may post without a pause. */
  resultsBurstMax: 5,
  /** Another result may be posted after each of these pauses. */
  resultEveryMs: 10_000,
  /** Methods whose answer the agent relays as that of any other request. */
  actionMethods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
} as const;
