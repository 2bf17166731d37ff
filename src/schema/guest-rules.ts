// schema: what a manifest must obey because the guest's agent reads it: whatever passes here the agent takes
// whole. The numbers are in one table with those of the agent, native/guest/manifest-limits.json. Pure.

import { parseIpv4 } from '../lib/ipv4.ts';
import { GUEST_LIMITS } from './guest-limits.ts';
import type { Manifest } from './manifest.ts';
import { join, keyOf, type Problems } from './validate.ts';

/** A disk that the agent mounts. */
export interface GuestMount {
  readonly serial: string;
  readonly target: string;
  readonly readonly: boolean;
}

/** What the kernel counts for an argument or a variable besides its bytes: the NUL and a pointer. */
const TEXT_OVERHEAD = 9;

/** Of PATH, HOME and TERM, which the agent adds where they are missing. */
const STANDARD_VARIABLES_BYTES = 128;

/** Problems that are told of what is wrong all over a manifest. */
const PROBLEMS_MAX = 16;

const PATH_RULE = 'visible ASCII, without spaces and "#", other characters escaped as %XX';

/** The parts of a manifest that concern the guest; what only the host uses is left out. */
export function guestManifest(manifest: Manifest, mounts: readonly GuestMount[]) {
  const {
    cloud_init: _cloudInit,
    disks: _disks,
    devices: _devices,
    labels: _labels,
    openapi: _openapi,
    image: _image,
    image_digest: _imageDigest,
    rootfs: _rootfs,
    initramfs: _initramfs,
    stop_grace_seconds: _stopGrace,
    ...guest
  } = manifest;
  return mounts.length === 0 ? guest : { ...guest, mounts };
}

/** Every reason why the agent would not take this manifest, keyed by path; empty when it does. */
export function guestProblems(manifest: Manifest, mounts: readonly GuestMount[] = []): Problems {
  const problems: Record<string, string> = {};
  const guest = guestManifest(manifest, mounts);
  checkProgram(manifest.workload, problems);
  checkBaseUrl(manifest.workload.base_url, problems);
  checkHealth(manifest.health_check, problems);
  checkActions(manifest.actions ?? {}, problems);
  new ValueCheck(problems).check(guest);
  // What is nested too deep cannot be written as a text either.
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
  const { entrypoint, env = {}, workdir = '' } = workload;
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
  const texts = [...entrypoint, ...variables.map(([name, value]) => `${name}=${value}`)];
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text) + TEXT_OVERHEAD, 0);
  if (bytes > executeBytesMax - STANDARD_VARIABLES_BYTES) {
    problems['workload'] ??=
      `must have fewer than ${executeBytesMax} bytes in entrypoint and env together, not ${bytes}`;
  }
}

/** http://host[:port][/path], the host an IPv4 address of the guest or localhost. */
function checkBaseUrl(url: string, problems: Record<string, string>): void {
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

function checkHealth(check: Manifest['health_check'], problems: Record<string, string>): void {
  const { healthEndpointBytesMax, healthCommandArgumentsMax, healthCommandBytesMax } = GUEST_LIMITS;
  const { endpoint, command } = check;
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

function checkActions(
  actions: NonNullable<Manifest['actions']>,
  problems: Record<string, string>,
): void {
  const methods: readonly string[] = GUEST_LIMITS.actionMethods;
  // The agent has it below /v1.
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

/** null for a path, with or without a query, that a request line takes. */
function problemOfPath(path: string, bytesMax: number): string | null {
  if (!path.startsWith('/')) return 'must begin with "/"';
  if (!isVisible(path) || path.includes('#')) return `must be ${PATH_RULE}`;
  return path.length > bytesMax ? `must have at most ${bytesMax} bytes` : null;
}

function isVisible(text: string): boolean {
  return /^[\x21-\x7e]*$/.test(text);
}

/** The whole of it as the agent's reader of JSON takes it: depth, number of values, and what is in texts. */
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
      this.#tell(path, `is too much: a guest takes a manifest of at most ${jsonValuesMax} values`);
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
