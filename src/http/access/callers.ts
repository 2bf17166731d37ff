// http, access: a caller, its scope and the names that it may use. access.ts recognises the caller of a request;
// scoped-engine.ts limits what a caller sees of the engine.

import type { EventBody } from '../../engine/records.ts';
import { VolantError } from '../../lib/errors.ts';
import { includesScope, type Scope } from '../../lib/scopes.ts';

export interface Caller {
  /** The name of the key; never the key itself. */
  readonly name: string;
  readonly scope: Scope;
  /** Names of VMs and deployments must begin with it; empty allows every name. */
  readonly prefix: string;
}

/** The caller where no key is required. */
export const ANYBODY: Caller = { name: '', scope: 'admin', prefix: '' };

/** Throws SCOPE_FORBIDDEN, which names the scope that is needed. */
export function requireScope(caller: Caller, needed: Scope | 'none', what: string): void {
  if (needed === 'none' || includesScope(caller.scope, needed)) return;
  const message = `${what} needs an API key with the scope ${needed}; this one has ${caller.scope}`;
  throw new VolantError('SCOPE_FORBIDDEN', message, { details: { scope: needed } });
}

/** Throws NAME_FORBIDDEN for a name outside of the caller's prefix, whether it exists or not. */
export function requireName(caller: Caller, name: string): void {
  if (name.startsWith(caller.prefix)) return;
  const message = `This API key is for names that begin with ${caller.prefix}`;
  throw new VolantError('NAME_FORBIDDEN', message, { details: { prefix: caller.prefix } });
}

/** Events that belong to no VM or deployment. Every caller with a key may see them. */
const SHARED_EVENTS = /^PLUGIN_/;

/** The `name` of these events is not the name of a VM or deployment. */
const HOST_EVENTS = /^DEVICE_/;

/** true when the caller may see this event. */
export function seesEvent(
  { prefix }: Caller,
  { type, name }: Pick<EventBody, 'type' | 'name'>,
): boolean {
  if (prefix === '' || SHARED_EVENTS.test(type)) return true;
  return !HOST_EVENTS.test(type) && name.startsWith(prefix);
}
