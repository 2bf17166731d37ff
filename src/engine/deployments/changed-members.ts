// engine, deployments: the paths of the members in which two objects differ, for people. Pure.

import { isDeepStrictEqual } from 'node:util';
import { LIMITS } from '../../config/limits.ts';
import { join, keyOf } from '../../lib/formats/member-path.ts';

/**
 * Paths such as `resources.memory_mb`, sorted. A list counts as a whole. If there are more than
 * LIMITS.revisionChangesMax, only top-level members.
 */
export function changedMembers(before: object, after: object): readonly string[] {
  const paths = differences(asStored(before), asStored(after), '', Number.POSITIVE_INFINITY);
  if (paths.length <= LIMITS.revisionChangesMax) return paths;
  return differences(asStored(before), asStored(after), '', 1);
}

type Members = Readonly<Record<string, unknown>>;

function differences(before: Members, after: Members, base: string, depth: number): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names.flatMap((name) => {
    const [one, other] = [before[name], after[name]];
    if (isDeepStrictEqual(one, other)) return [];
    const path = join(base, keyOf(name));
    if (depth > 1 && isObject(one) && isObject(other)) {
      return differences(one, other, path, depth - 1);
    }
    return [path];
  });
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** As JSON, which drops members that are undefined. */
function asStored(value: object): Members {
  return JSON.parse(JSON.stringify(value));
}
