// ui, parts: short messages at the edge of the page: what was done, how far it is, what went wrong.

import { signal } from '@preact/signals';

export interface Toast {
  readonly id: number;
  readonly tone: 'done' | 'busy' | 'bad';
  readonly text: string;
}

const TOASTS_MAX = 5;
const SHOWN_MS = 6_000;

const toasts = signal<readonly Toast[]>([]);
let lastId = 0;

/** Shows a message. Those that went wrong stay until they are dismissed, those that are under way until `end`. */
export function toast(tone: Toast['tone'], text: string): number {
  lastId += 1;
  const id = lastId;
  toasts.value = [...toasts.peek(), { id, tone, text }].slice(-TOASTS_MAX);
  if (tone === 'done') setTimeout(() => dismiss(id), SHOWN_MS);
  return id;
}

/** Changes the text of a message that is under way. */
export function retext(id: number, text: string): void {
  toasts.value = toasts.peek().map((shown) => (shown.id === id ? { ...shown, text } : shown));
}

export function dismiss(id: number): void {
  toasts.value = toasts.peek().filter((shown) => shown.id !== id);
}

/** Shows how far `work` is, and then its result. Resolves with its value, or undefined if it failed. */
export async function tellProgress<T>(
  begin: string,
  work: (tell: (text: string) => void) => Promise<T>,
  ended: (value: T) => string,
): Promise<T | undefined> {
  const id = toast('busy', begin);
  try {
    const value = await work((text) => retext(id, text));
    toast('done', ended(value));
    return value;
  } catch (error) {
    toast('bad', error instanceof Error ? error.message : String(error));
    return undefined;
  } finally {
    dismiss(id);
  }
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, tone, text }) => (
        <div key={id} class={`toast toast-${tone}`}>
          {tone === 'busy' && <span class="spinner" aria-hidden="true" />}
          <span class="toast-text">{text}</span>
          {tone !== 'busy' && (
            <button type="button" class="quiet" aria-label="Dismiss" onClick={() => dismiss(id)}>
              ✕
            </button>
          )}
        </div>
      ))}
    </div>
  );
}
