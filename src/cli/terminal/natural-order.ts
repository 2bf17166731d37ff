// cli, terminal: the natural order of names: web-2 before web-10.

const COLLATOR = new Intl.Collator('en', { numeric: true });

export function byName(one: { readonly name: string }, other: { readonly name: string }): number {
  return COLLATOR.compare(one.name, other.name);
}

export function naturally(names: readonly string[]): string[] {
  return [...names].sort(COLLATOR.compare);
}
