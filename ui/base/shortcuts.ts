// ui, base: keys that do something on a page. Each part that has keys registers them while it is shown; the help dialog
// lists those that are registered.

import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

export interface Shortcut {
  /** As KeyboardEvent.key says, such as `/`; or two of them, one after the other: `g v`. */
  readonly keys: string;
  /** What it does, for the help dialog. */
  readonly label: string;
  readonly run: () => void;
}

/** The second key of two must follow within this time. */
const SEQUENCE_MS = 1_500;

export const shortcuts = signal<readonly Shortcut[]>([]);

let first = '';
let firstAtMs = 0;

/** Registers keys as long as the component is shown. The list must be the same at each call, or made with useMemo. */
export function useShortcuts(list: readonly Shortcut[]): void {
  useEffect(() => {
    shortcuts.value = [...shortcuts.peek(), ...list];
    return () => {
      shortcuts.value = shortcuts.peek().filter((shortcut) => !list.includes(shortcut));
    };
  }, [list]);
}

/** Keys belong to a field while the user types into it, and to a dialog while one is open. */
function isTaken({ target }: KeyboardEvent): boolean {
  if (document.querySelector('dialog[open]') !== null) return true;
  return target instanceof Element && target.closest('input, textarea, select, .terminal') !== null;
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTaken(event)) return;
  const isSequence = first !== '' && performance.now() - firstAtMs < SEQUENCE_MS;
  const typed = isSequence ? `${first} ${event.key}` : event.key;
  const all = shortcuts.peek();
  const found = all.findLast(({ keys }) => keys === typed);
  const begins = all.some(({ keys }) => keys.startsWith(`${event.key} `));
  [first, firstAtMs] = found === undefined && begins ? [event.key, performance.now()] : ['', 0];
  if (found === undefined) return;
  event.preventDefault();
  found.run();
});
