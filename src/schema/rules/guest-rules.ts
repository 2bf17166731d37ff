// schema: rules for a manifest that come from the guest's agent, which reads it: the agent accepts every manifest that
// passes here. The limits are shared with the agent in native/guest/manifest-limits.json. Pure.

import type { Problems } from '../../lib/formats/member-path.ts';
import { join, keyOf } from '../../lib/formats/member-path.ts';
import { parseIpv4 } from '../../lib/net/ipv4.ts';
import type { Manifest } from '../manifest.ts';
import { containerImageOf, guestWorkload } from './container-image.ts';
import { GUEST_LIMITS } from './guest-limits.ts';
import { healthCheckType } from './health-check-rules.ts';

/** A disk that the agent mounts. */
export interface GuestMount {
  readonly serial: string;
  readonly target: string;
  readonly readonly: boolean;
}

/** What the kernel counts for an argument or a variable in addition to its bytes: the NUL and a pointer. */
const TEXT_OVERHEAD = 9;

/** Size of PATH, HOME, TERM and VOLANT_METADATA_URL, which the agent adds if they are missing. */
const STANDARD_VARIABLES_BYTES = 192;

/** Maximum number of problems that are reported by checks of the whole manifest. */
const PROBLEMS_MAX = 16;

const PATH_RULE = 'visible ASCII, without spaces and "#", other characters escaped as %XX';

/** The parts of a manifest that the guest gets; parts for the host are left out. */
export function guestManifest(manifest: Manifest, mounts: readonly GuestMount[]) {
  const {
    cloud_init: _cloudInit,
    disks: _disks,
    devices: _devices,
    labels: _labels,
    openapi: _openapi,
    image: _image,
    workload,
    image_digest: _imageDigest,
    rootfs: _rootfs,
    initramfs: _initramfs,
    stop_grace_seconds: _stopGrace,
    metadata_service: hasMetadata,
    network,
    ...rest
  } = manifest;
  const { egress: _egress, ...ofGuest } = network ?? {};
  const image = containerImageOf(manifest)?.name;
  return {
    ...rest,
    ...(network && { network: ofGuest }),
    workload: guestWorkload(workload),
    ...(image === undefined ? {} : { image }),
    ...(hasMetadata === true ? { metadata_service: true } : {}),
    ...(mounts.length === 0 ? {} : { mounts }),
  };
}

/** Every reason why the agent would refuse this manifest, keyed by path; empty if it accepts it. */
export function guestProblems(manifest: Manifest, mounts: readonly GuestMount[] = []): Problems {
  const problems: Record<string, string> = {};
  const guest = guestManifest(manifest, mounts);
  checkProgram(manifest.workload, problems);
  checkBaseUrl(manifest, problems);
  checkHealth(manifest, problems);
  checkActions(manifest.actions ?? {}, problems);
  new ValueCheck(problems).check(guest);
  // A manifest that is nested too deeply cannot be serialised either.
  if (Object.keys(problems).length > 0) return problems;
  const { manifestBytesMax } = GUEST_LIMITS;
  if (Buffer.byteLength(JSON.stringify(guest)) > manifestBytesMax) {
    problems['workload'] =
      `must be shorter: a guest takes a manifest of at most ${manifestBytesMax} bytes`;
  }
  return problems;
}

function checkProgram(workload: Manifest['workload'], problems: Record<string, string>): void {
  const { argumentsMax, variablesMax, argumentBytesMax, executeBytesMax, pathBytesMax } =
    GUEST_LIMITS;
  const { entrypoint, args = [], env = {}, workdir = '', user = '' } = workload;
  const variables = Object.entries(env);
  if (entrypoint.length > argumentsMax) {
    problems['workload.entrypoint'] =
      `must have at most ${argumentsMax} arguments, not ${entrypoint.length}`;
  }
  if (variables.length > variablesMax) {
    problems['workload.env'] =
      `must have at most ${variablesMax} variables, not ${variables.length}`;
  }
  for (const [index, argument] of entrypoint.slice(0, argumentsMax).entries()) {
    const bytesMax = index === 0 ? pathBytesMax : argumentBytesMax;
    if (Buffer.byteLength(argument) <= bytesMax) continue;
    problems[`workload.entrypoint[${index}]`] = `must have at most ${bytesMax} bytes`;
  }
  if (args.length > argumentsMax) {
    problems['workload.args'] = `must have at most ${argumentsMax} arguments, not ${args.length}`;
  }
  for (const [index, argument] of args.slice(0, argumentsMax).entries()) {
    if (Buffer.byteLength(argument) <= argumentBytesMax) continue;
    problems[`workload.args[${index}]`] = `must have at most ${argumentBytesMax} bytes`;
  }
  checkUser(user, problems);
  for (const [name, value] of variables.slice(0, variablesMax)) {
    const path = join('workload.env', keyOf(name));
    if (!/^[^=\s][^=]*$/.test(name)) problems[path] = 'must be a variable name without "="';
    else if (Buffer.byteLength(name) + 1 + Buffer.byteLength(value) > argumentBytesMax) {
      problems[path] = `must have at most ${argumentBytesMax} bytes with its name`;
    }
  }
  if (Buffer.byteLength(workdir) > pathBytesMax) {
    problems['workload.workdir'] = `must have at most ${pathBytesMax} bytes`;
  }
  const texts = [...entrypoint, ...args, ...variables.map(([name, value]) => `${name}=${value}`)];
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text) + TEXT_OVERHEAD, 0);
  if (bytes > executeBytesMax - STANDARD_VARIABLES_BYTES) {
    problems['workload'] ??=
      `must have fewer than ${executeBytesMax} bytes in entrypoint and env together, not ${bytes}`;
  }
}

/** Names of users may have any characters but those that divide the fields of passwd(5). */
function checkUser(user: string, problems: Record<string, string>): void {
  const { userBytesMax } = GUEST_LIMITS;
  if (Buffer.byteLength(user) > userBytesMax) {
    problems['workload.user'] = `must have at most ${userBytesMax} bytes`;
  } else if (!/^[^\s:]*(:[^\s:]+)?$/.test(user)) {
    problems['workload.user'] = 'must be a user or user:group, each a name or a number';
  }
}

/** http://host[:port][/path], the host an IPv4 address of the guest or localhost. */
function checkBaseUrl(manifest: Manifest, problems: Record<string, string>): void {
  const { workload } = manifest;
  const url = workload.base_url ?? '';
  if (url === '' && (workload.type !== 'http' || containerImageOf(manifest) !== null)) return;
  const path = 'workload.base_url';
  const [, host = '', port = '80', prefix = ''] =
    /^http:\/\/([A-Za-z0-9.]+)(?::(\d{1,5}))?(\/[^?#]*)?$/.exec(url) ?? [];
  const isHost = host === 'localhost' || parseIpv4(host) !== null;
  const isPort = Number(port) >= 1 && Number(port) <= 65535;
  const { baseUrlPathBytesMax } = GUEST_LIMITS;
  if (!isHost || !isPort) {
    problems[path] =
      'must be http:// with an IPv4 address of the guest or localhost, and a port, such as http://127.0.0.1:8000';
  } else if (!isVisible(prefix)) problems[path] = `must have a path of ${PATH_RULE}`;
  else if (prefix.replace(/\/$/, '').length > baseUrlPathBytesMax) {
    problems[path] = `must have a path of at most ${baseUrlPathBytesMax} bytes`;
  }
}

function checkHealth(manifest: Manifest, problems: Record<string, string>): void {
  const { health_check: check, workload } = manifest;
  const { healthEndpointBytesMax, healthCommandArgumentsMax, healthCommandBytesMax } = GUEST_LIMITS;
  const { endpoint, command } = check;
  // The port that an image exposes is known when it is here.
  if (containerImageOf(manifest) === null) checkHasPort(check, workload, problems);
  const problem = endpoint === '' ? null : problemOfPath(endpoint, healthEndpointBytesMax);
  if (problem !== null) problems['health_check.endpoint'] = problem;
  if (command !== undefined) {
    const bytes = command.reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 0);
    if (command.length > healthCommandArgumentsMax || bytes > healthCommandBytesMax) {
      problems['health_check.command'] =
        `must have at most ${healthCommandArgumentsMax} arguments, with at most ${healthCommandBytesMax} bytes together`;
    }
  }
  const { healthIntervalMsMin, healthIntervalMsMax, healthProbeTimeoutMsMax, healthRetriesMax } =
    GUEST_LIMITS;
  const bounds = [
    ['interval_ms', healthIntervalMsMin, healthIntervalMsMax],
    ['probe_timeout_ms', 1, healthProbeTimeoutMsMax],
    ['retries', 1, healthRetriesMax],
    ['port', 1, 65535],
  ] as const;
  for (const [name, least, most] of bounds) {
    const value = check[name];
    if (value === undefined || (value >= least && value <= most)) continue;
    problems[`health_check.${name}`] = `must be ${least} to ${most}`;
  }
}

/** A workload without base_url has no port that a check could mean. */
function checkHasPort(
  check: Manifest['health_check'],
  { base_url = '' }: Manifest['workload'],
  problems: Record<string, string>,
): void {
  if (base_url !== '') return;
  const type = healthCheckType(check);
  if (type === 'http') {
    problems['health_check.endpoint'] =
      'needs workload.base_url, such as http://127.0.0.1:8000; port and command need none';
  } else if (type === 'tcp' && check.port === undefined) {
    problems['health_check.port'] = 'is required where the workload has no base_url';
  }
}

function checkActions(
  actions: NonNullable<Manifest['actions']>,
  problems: Record<string, string>,
): void {
  const methods: readonly string[] = GUEST_LIMITS.actionMethods;
  // The agent adds the prefix /v1.
  const bytesMax = GUEST_LIMITS.requestTargetBytesMax - '/v1'.length;
  for (const [name, { method = '', path = '' }] of Object.entries(actions)) {
    const base = join('actions', keyOf(name));
    if (!methods.includes(method.toUpperCase())) {
      problems[`${base}.method`] =
        method === '' ? 'is required' : `must be one of ${methods.join(', ')}`;
    }
    const problem = problemOfPath(path, bytesMax);
    if (problem !== null) problems[`${base}.path`] = problem;
  }
}

/** null if the text is a valid path of a request line, with or without a query. */
function problemOfPath(path: string, bytesMax: number): string | null {
  if (!path.startsWith('/')) return 'must begin with "/"';
  if (!isVisible(path) || path.includes('#')) return `must be ${PATH_RULE}`;
  return path.length > bytesMax ? `must have at most ${bytesMax} bytes` : null;
}

function isVisible(text: string): boolean {
  return /^[\x21-\x7e]*$/.test(text);
}

/** Checks the whole manifest as the agent's JSON parser does: depth, number of values, and characters of texts. */
class ValueCheck {
  readonly #problems: Record<string, string>;
  #values = 0;
  #found = 0;

  constructor(problems: Record<string, string>) {
    this.#problems = problems;
  }

  check(value: unknown, path = '', depth = 0): void {
    const { jsonDepthMax, jsonValuesMax } = GUEST_LIMITS;
    if (this.#found >= PROBLEMS_MAX || value === undefined) return;
    this.#values += 1;
    if (depth > jsonDepthMax) {
      this.#tell(path, `must not be nested deeper than ${jsonDepthMax} levels in the manifest`);
    } else if (this.#values > jsonValuesMax) {
      this.#tell(
        path,
        `is one value too many: a guest takes a manifest of at most ${jsonValuesMax} values`,
      );
      this.#found = PROBLEMS_MAX;
    } else if (typeof value === 'string') this.#checkText(value, path);
    else if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) this.check(item, `${path}[${index}]`, depth + 1);
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, member] of Object.entries(value)) {
        const at = join(path, keyOf(key));
        this.#checkText(key, at);
        this.check(member, at, depth + 1);
      }
    }
  }

  #checkText(text: string, path: string): void {
    if (text.includes('\0')) this.#tell(path, 'must not contain NUL');
    else if (/\p{Surrogate}/u.test(text))
      this.#tell(path, 'must be Unicode without halves of surrogates');
  }

  #tell(path: string, problem: string): void {
    this.#found += 1;
    this.#problems[path] ??= problem;
  }
}
