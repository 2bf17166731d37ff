// lib: what an API key may be good for. Which operation needs what stands in the table of operations.

/** Each one includes those before it. */
export const SCOPES = ['read', 'operate', 'admin'] as const;

export type Scope = (typeof SCOPES)[number];

/** true when a key of the scope `held` may do what needs `needed`. */
export function includesScope(held: Scope, needed: Scope): boolean {
  return SCOPES.indexOf(held) >= SCOPES.indexOf(needed);
}
