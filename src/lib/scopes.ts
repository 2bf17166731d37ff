// lib: the scopes of API keys. The table of operations says which scope each operation needs.

/** Each scope includes those before it. */
export const SCOPES = ['read', 'operate', 'admin'] as const;

export type Scope = (typeof SCOPES)[number];

/** Whether a key of the scope `held` allows what needs `needed`. */
export function includesScope(held: Scope, needed: Scope): boolean {
  return SCOPES.indexOf(held) >= SCOPES.indexOf(needed);
}
