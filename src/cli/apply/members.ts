// cli, apply: compares objects by their members. Pure.

import { isDeepStrictEqual } from 'node:util';

/** true if `current` has everything that is wanted. Lists must be equal, objects may have more members. */
export function covers(current: unknown, wanted: unknown): boolean {
  if (wanted === null || wanted === undefined) return current === null || current === undefined;
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(current) &&
      current.length === wanted.length &&
      wanted.every((item, index) => covers(current[index], item))
    );
  }
  if (typeof wanted !== 'object') return current === wanted;
  if (!isObject(current)) return false;
  return Object.entries(wanted).every(([name, value]) => covers(current[name], value));
}

/** Paths of the members that differ, such as `resources.memory_mb`. A list counts as a whole. */
export function changedMembers(before: unknown, after: unknown, base = ''): readonly string[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (!isObject(before) || !isObject(after)) return [base];
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.flatMap((name) =>
    changedMembers(before[name], after[name], base === '' ? name : `${base}.${name}`),
  );
}

/** A copy without the member at a path; the value itself if it has no such member. */
export function without(value: unknown, [step = '', ...rest]: readonly string[]): unknown {
  if (Array.isArray(value)) {
    const item = without(value[Number(step)], rest);
    return item === value[Number(step)] ? value : value.with(Number(step), item);
  }
  if (!isObject(value) || !Object.hasOwn(value, step)) return value;
  if (rest.length === 0) {
    const { [step]: _, ...others } = value;
    return others;
  }
  const inner = without(value[step], rest);
  return inner === value[step] ? value : { ...value, [step]: inner };
}

/** The object without its undefined members. */
export function set<T extends object>(members: T): { [Name in keyof T]?: NonNullable<T[Name]> } {
  const entries = Object.entries(members).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Name in keyof T]?: NonNullable<T[Name]> };
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
