// guest: what the agent takes of a manifest, and the daemon therefore accepts.
// Generated from native/guest/manifest-limits.json: npm run guest-limits.
#ifndef VOLANT_MANIFEST_LIMITS_H
#define VOLANT_MANIFEST_LIMITS_H

// The manifest as JSON.
#define MANIFEST_BYTES_MAX 4194304
// Values inside of values, the manifest itself not counted.
#define JSON_DEPTH_MAX 32
// Values of a manifest, at all depths.
#define JSON_VALUES_MAX 20000
// Members of the entrypoint.
#define ARGUMENTS_MAX 256
// Members of the environment.
#define VARIABLES_MAX 512
// One argument, or a variable with its name and "=": Linux takes 32 pages, the NUL included.
#define ARGUMENT_BYTES_MAX 131071
// All arguments and variables, each with its NUL and 8 bytes: half of what Linux takes.
#define EXECUTE_BYTES_MAX 1048576
// A path of the guest: Linux takes 4096 bytes, the NUL included.
#define PATH_BYTES_MAX 4095
// User and group of the workload, each a name or number.
#define USER_BYTES_MAX 255
// The path of the base URL.
#define BASE_URL_PATH_BYTES_MAX 255
// The path of the health check.
#define HEALTH_ENDPOINT_BYTES_MAX 300
// Members of the command of the health check.
#define HEALTH_COMMAND_ARGUMENTS_MAX 32
// The command of the health check, each argument with its NUL.
#define HEALTH_COMMAND_BYTES_MAX 4096
// Between two health checks.
#define HEALTH_INTERVAL_MS_MIN 100
// Between two health checks.
#define HEALTH_INTERVAL_MS_MAX 3600000
// For one health check.
#define HEALTH_PROBE_TIMEOUT_MS_MAX 600000
// Health checks that fail in a row before the workload counts as unhealthy.
#define HEALTH_RETRIES_MAX 100
// The method of a request, all of it upper-case letters.
#define REQUEST_METHOD_BYTES_MAX 15
// Path and query of a request to the agent.
#define REQUEST_TARGET_BYTES_MAX 4095
// Port of the metadata service on the loopback address of the guest.
#define METADATA_PORT 8169
// What the metadata service tells of a VM, as JSON.
#define METADATA_BYTES_MAX 262144
// A result that the guest posts.
#define RESULT_BYTES_MAX 65536
// Results that the guest may post without a pause.
#define RESULTS_BURST_MAX 5
// Another result may be posted after each of these pauses.
#define RESULT_EVERY_MS 10000

#endif
