// test helpers: loads a module of scripts/, which are plain Node and not part of what is compiled.

import { PROJECT_ROOT } from '../helpers/capabilities.ts';

/** `file` is relative to scripts/. T says which of its exports the test uses. */
export async function loadScript<T>(file: string): Promise<T> {
  return (await import(`${PROJECT_ROOT}scripts/${file}`)) as T;
}
