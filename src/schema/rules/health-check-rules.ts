// schema: rules for a health check beyond its shape, and its normal form. Limits of the guest's agent are in
// guest-rules.ts. Pure.

import { HEALTH_CHECK_TYPES, type HealthCheck, type ManifestInput } from '../manifest.ts';

type HealthCheckInput = NonNullable<ManifestInput['health_check']>;
type HealthCheckType = (typeof HEALTH_CHECK_TYPES)[number];

/** Members that belong to one type of check. With another type they would be ignored silently, so they are refused. */
const MEMBERS: readonly (readonly [member: 'endpoint' | 'port' | 'command', HealthCheckType])[] = [
  ['endpoint', 'http'],
  ['port', 'tcp'],
  ['command', 'exec'],
];

/** The health check in its normal form. Problems are added to `problems`, keyed by path. */
export function checkHealthCheck(
  input: HealthCheckInput,
  problems: Record<string, string>,
): HealthCheck {
  const endpoint = (input.endpoint ?? '').trim();
  const given = (input.type ?? '').trim().toLowerCase();
  const type = HEALTH_CHECK_TYPES.find((candidate) => candidate === given);
  if (given !== '' && type === undefined) {
    problems['health_check.type'] = `must be one of ${HEALTH_CHECK_TYPES.join(', ')}`;
  }
  checkMembers({ ...input, endpoint }, type, problems);
  const { port, command, interval_ms = 0, probe_timeout_ms = 0, retries = 0 } = input;
  return {
    endpoint,
    timeout_ms: input.timeout_ms ?? 0,
    ...(type === undefined ? {} : { type }),
    ...(port === undefined || port === 0 ? {} : { port }),
    ...(command === undefined ? {} : { command }),
    ...(interval_ms === 0 ? {} : { interval_ms }),
    ...(probe_timeout_ms === 0 ? {} : { probe_timeout_ms }),
    ...(retries === 0 ? {} : { retries }),
  };
}

/** The type of the check, given or derived; null if the manifest does not determine it. */
export function healthCheckType(check: HealthCheck): HealthCheckType | null {
  if (check.type !== undefined) return check.type;
  return MEMBERS.find(([member]) => isGiven(check[member]))?.[1] ?? null;
}

function checkMembers(
  input: HealthCheckInput,
  type: HealthCheckType | undefined,
  problems: Record<string, string>,
): void {
  const given = MEMBERS.filter(([member]) => isGiven(input[member]));
  const wanted = type ?? given[0]?.[1];
  for (const [member, of] of given) {
    if (of === wanted) continue;
    problems[`health_check.${member}`] = `is of type ${of}; the check is of type ${wanted}`;
  }
  if (wanted === 'http' && !isGiven(input.endpoint))
    problems['health_check.endpoint'] = 'is required';
  if (wanted !== 'exec') return;
  if (!isGiven(input.command) || (input.command?.[0] ?? '') === '') {
    problems['health_check.command'] = 'must name a program and its arguments';
  }
}

function isGiven(value: string | number | readonly string[] | undefined): boolean {
  return value !== undefined && value !== '' && value !== 0;
}
