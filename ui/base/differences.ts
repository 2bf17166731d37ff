// ui, base: what differs between two JSON values, member by member. Pure.

export interface Difference {
  /** Such as `manifest.disks[0].source`; empty for the values themselves. */
  readonly path: string;
  /** undefined: it is not there. */
  readonly before: unknown;
  readonly after: unknown;
}

/** The smallest members that differ, in the order of their paths. */
export function differences(before: unknown, after: unknown, path = ''): readonly Difference[] {
  if (Array.isArray(before) && Array.isArray(after)) {
    const longer = before.length > after.length ? before : after;
    return longer.flatMap((_, index) =>
      differences(before[index], after[index], `${path}[${index}]`),
    );
  }
  if (isObject(before) && isObject(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    return keys.flatMap((key) =>
      differences(before[key], after[key], path === '' ? key : `${path}.${key}`),
    );
  }
  return Object.is(before, after) ? [] : [{ path, before, after }];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** As a person reads it: texts without quotes where that is clear. */
export function valueText(value: unknown): string {
  if (value === undefined) return '–';
  if (typeof value === 'string') return value === '' ? '""' : value;
  return JSON.stringify(value, null, 2);
}
