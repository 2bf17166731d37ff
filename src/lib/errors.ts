// lib: all errors that clients can see, in one table. The meaning of a code never changes. docs/errors.md lists
// exactly these codes, which a test checks. Messages for single cases belong where the error is thrown.

/** The fixed properties of a code. */
interface ErrorKind {
  /** HTTP status of the answer. */
  readonly status: number;
  /** The default message, a sentence for a person. */
  readonly title: string;
  /** The default Retry-After. */
  readonly retryAfterSeconds?: number;
}

export const ERRORS = {
  BODY_INVALID: { status: 400, title: 'The request body is not valid' },
  PARAMETER_INVALID: { status: 400, title: 'A parameter of the request is not valid' },
  JSON_INVALID: { status: 400, title: 'The request body is not JSON' },
  CMDLINE_TOO_LONG: { status: 400, title: 'The kernel command line is too long' },
  FEATURE_UNAVAILABLE: { status: 400, title: 'This version cannot do what was asked' },
  MEDIA_NOT_ALLOWED: { status: 400, title: 'A file is not where files may come from' },
  MEDIA_INVALID: { status: 400, title: 'A kernel or image file cannot be used' },
  MEDIA_CHECKSUM_MISMATCH: {
    status: 400,
    title: 'An image has another checksum than the config says',
  },
  PLUGIN_MISMATCH: { status: 400, title: 'The request and its config name different plugins' },
  EXEC_NOT_STARTED: { status: 400, title: 'The program could not be executed in the guest' },
  FILE_PATH_INVALID: { status: 400, title: 'The path leads to no file of the guest' },
  TAR_INVALID: { status: 400, title: 'The archive cannot be unpacked' },
  UNAUTHORIZED: { status: 401, title: 'An API key is required' },
  ADDRESS_FORBIDDEN: { status: 403, title: 'This client address is not allowed' },
  HOST_FORBIDDEN: { status: 403, title: 'This daemon does not answer to this host name' },
  ORIGIN_FORBIDDEN: { status: 403, title: 'Pages of this origin may not do this' },
  SCOPE_FORBIDDEN: { status: 403, title: 'The API key does not allow this operation' },
  NAME_FORBIDDEN: { status: 403, title: 'The API key does not allow this name' },
  DEVICE_FORBIDDEN: { status: 403, title: 'This device may not be taken from the host' },
  FILE_FORBIDDEN: { status: 403, title: 'The guest does not allow this' },
  ROUTE_NOT_FOUND: { status: 404, title: 'There is no such route' },
  VM_NOT_FOUND: { status: 404, title: 'There is no VM with this name' },
  DEPLOYMENT_NOT_FOUND: { status: 404, title: 'There is no deployment with this name' },
  REVISION_NOT_FOUND: { status: 404, title: 'The deployment has no such revision' },
  ACTION_NOT_FOUND: { status: 404, title: 'The plugin has no such action' },
  ARTIFACT_NOT_FOUND: { status: 404, title: 'There is no such artifact' },
  DOCUMENT_NOT_FOUND: { status: 404, title: 'The VM has no OpenAPI document' },
  EXEC_NOT_FOUND: { status: 404, title: 'The VM has no such exec' },
  RESULT_NOT_FOUND: { status: 404, title: 'The guest has posted no result' },
  IMAGE_NOT_FOUND: { status: 404, title: 'There is no such container image on this host' },
  DEVICE_NOT_FOUND: { status: 404, title: 'There is no such PCI device' },
  PLUGIN_NOT_FOUND: { status: 404, title: 'There is no plugin with this name' },
  FILE_NOT_FOUND: { status: 404, title: 'The guest has no such file' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'The route does not have this method' },
  REQUEST_TIMEOUT: { status: 408, title: 'The request body did not arrive in time' },
  WAIT_TIMEOUT: { status: 408, title: 'The wait has timed out; the operation continues' },
  VM_NAME_TAKEN: { status: 409, title: 'A VM with this name exists' },
  VM_STATE_CONFLICT: { status: 409, title: 'The VM is not in a state that allows this' },
  DEPLOYMENT_NAME_TAKEN: { status: 409, title: 'A deployment with this name exists' },
  DEPLOYMENT_DELETING: { status: 409, title: 'The deployment is being deleted' },
  IMAGE_IN_USE: { status: 409, title: 'VMs are made of this container image' },
  DEVICE_OWNED: { status: 409, title: 'A VM has this device' },
  DEVICE_IN_USE: { status: 409, title: 'The host needs this device' },
  DEVICE_NOT_BOUND: { status: 409, title: 'The device is not bound to vfio-pci' },
  GROUP_NOT_VIABLE: { status: 409, title: 'Other devices of the IOMMU group have host drivers' },
  EXEC_UNAVAILABLE: { status: 409, title: 'No program can be run in this guest' },
  EXEC_ENDED: { status: 409, title: 'The program has ended' },
  PLUGIN_DISABLED: { status: 409, title: 'The plugin is disabled' },
  PORT_TAKEN: { status: 409, title: 'A published port is in use' },
  ADDRESS_TAKEN: { status: 409, title: 'Another VM has this address' },
  CID_TAKEN: { status: 409, title: 'Another program has the vsock address of the VM' },
  ADDRESS_POOL_EXHAUSTED: { status: 409, title: 'No address is free' },
  MEMORY_EXHAUSTED: { status: 409, title: 'The VMs of this host may have no more memory' },
  CPU_EXHAUSTED: { status: 409, title: 'The VMs of this host may have no more vCPUs' },
  FILE_EXISTS: { status: 409, title: 'The guest has such a file already' },
  FILE_TYPE_CONFLICT: { status: 409, title: 'This cannot be done with a file of this type' },
  FILE_TREE_TOO_LARGE: {
    status: 409,
    title: 'The directory has more directories than can be watched',
  },
  FILE_SYSTEM_READ_ONLY: { status: 409, title: 'The file system of the guest is read-only' },
  FILES_UNSUPPORTED: { status: 409, title: 'The guest cannot transfer files' },
  VERSION_MISMATCH: { status: 412, title: 'The config has another version than expected' },
  FILE_CHANGED: { status: 412, title: 'The file has another version than expected' },
  BODY_TOO_LARGE: { status: 413, title: 'The request body is too large' },
  FILE_TOO_LARGE: {
    status: 413,
    title: 'The file system of the guest allows no file of this size',
  },
  CONTENT_TYPE_UNSUPPORTED: {
    status: 415,
    title: 'The content type of the request body is not supported',
  },
  FILE_RANGE_INVALID: { status: 416, title: 'The file has no such part' },
  IDEMPOTENCY_MISMATCH: {
    status: 422,
    title: 'This Idempotency-Key was used with another request',
  },
  INTERNAL: { status: 500, title: 'Something went wrong inside the daemon' },
  HYPERVISOR_MISSING: { status: 500, title: 'No hypervisor is installed' },
  HYPERVISOR_FAILED: { status: 500, title: 'The hypervisor did not start' },
  HYPERVISOR_TIMEOUT: { status: 500, title: 'The hypervisor did not answer in time' },
  KERNEL_MISSING: { status: 500, title: 'There is no guest kernel' },
  HOST_PERMISSION: { status: 500, title: 'The daemon lacks a permission on this host' },
  HOST_OPERATION_FAILED: { status: 500, title: 'An operation on the host failed' },
  HOST_TIMEOUT: {
    status: 500,
    title: 'The host has not completed an operation before its deadline',
  },
  DEVICE_FAILED: { status: 500, title: 'The driver of a device could not be changed' },
  DEVICE_BUSY: { status: 500, title: 'Something still holds the device' },
  STOP_FAILED: { status: 500, title: 'The hypervisor process could not be ended' },
  DELETE_INCOMPLETE: { status: 500, title: 'Something could not be deleted; try again' },
  MEDIA_DOWNLOAD_FAILED: { status: 502, title: 'An image could not be downloaded' },
  ACTION_FAILED: { status: 502, title: 'The workload did not perform the action' },
  AGENT_UNREACHABLE: { status: 502, title: 'The agent in the guest does not answer' },
  DOCUMENT_UNREACHABLE: { status: 502, title: 'The OpenAPI document could not be fetched' },
  FILE_OPERATION_FAILED: { status: 502, title: 'The guest could not do this with its file' },
  VFIO_UNAVAILABLE: { status: 503, title: 'This host has no VFIO' },
  STORE_UNAVAILABLE: { status: 503, title: 'The state cannot be written', retryAfterSeconds: 5 },
  CAPACITY_EXHAUSTED: { status: 503, title: 'This host is at its limit' },
  OVERLOADED: { status: 503, title: 'Too much is being done at once', retryAfterSeconds: 1 },
  SHUTTING_DOWN: { status: 503, title: 'The daemon is shutting down' },
  DISK_SPACE_LOW: { status: 507, title: 'The disk of this host is too full' },
  FILE_SYSTEM_FULL: { status: 507, title: 'The file system of the guest is full' },
} as const satisfies Record<string, ErrorKind>;

/** The stable name of an error, sent as `code`. */
export type ErrorCode = keyof typeof ERRORS;

interface VolantErrorOptions {
  /** What is wrong, keyed by JSON path or parameter name. */
  readonly details?: Readonly<Record<string, string>>;
  /** Sent as Retry-After instead of the table's value. */
  readonly retryAfterSeconds?: number;
  /** Further headers of the answer, such as Allow. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The cause, which is logged and never sent. */
  readonly cause?: unknown;
}

/** The only error class that becomes an answer. Any other error is a bug and is answered with INTERNAL. */
export class VolantError extends Error {
  override readonly name = 'VolantError';
  readonly code: ErrorCode;
  /** The message without the details. */
  readonly title: string;
  readonly status: number;
  readonly details: Readonly<Record<string, string>> | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;

  constructor(
    code: ErrorCode,
    message: string = ERRORS[code].title,
    options: VolantErrorOptions = {},
  ) {
    super(
      withFirstDetail(code, message, options.details),
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    const kind: ErrorKind = ERRORS[code];
    this.code = code;
    this.title = message;
    this.status = kind.status;
    this.details = options.details;
    this.retryAfterSeconds = options.retryAfterSeconds ?? kind.retryAfterSeconds;
    this.headers = options.headers;
  }
}

/** Codes of invalid requests: their details name members or parameters, each with its rule. */
const NAMING_CODES: readonly ErrorCode[] = [
  'BODY_INVALID',
  'PARAMETER_INVALID',
  'JSON_INVALID',
  'FEATURE_UNAVAILABLE',
  'CMDLINE_TOO_LONG',
];

/** Longer details are truncated in the message, but not in `details`. */
const DETAIL_CHARACTERS_MAX = 300;

/**
 * Many clients show only the message, so it names the first detail and counts the others. Nothing is added when the
 * message contains it already.
 */
function withFirstDetail(
  code: ErrorCode,
  title: string,
  details: VolantErrorOptions['details'] = {},
): string {
  const [first, ...others] = Object.entries(details);
  if (first === undefined || !NAMING_CODES.includes(code)) return title;
  const [member, rule] = first;
  if (title.includes(rule) || rule.includes(title)) return title;
  const detail = `${member} ${rule}`;
  const isLong = detail.length > DETAIL_CHARACTERS_MAX;
  const shown = isLong ? `${detail.slice(0, DETAIL_CHARACTERS_MAX)}...` : detail;
  return `${title}: ${shown}${others.length === 0 ? '' : `, and ${others.length} more`}`;
}

/** Converts any thrown value to a VolantError. Others become INTERNAL with the original as cause. */
export function toVolantError(thrown: unknown): VolantError {
  return thrown instanceof VolantError
    ? thrown
    : new VolantError('INTERNAL', undefined, { cause: thrown });
}
