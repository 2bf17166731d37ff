// ui, base: light or dark. The style sheet follows the system unless the element <html> says otherwise.

import { effect, signal } from '@preact/signals';
import { forget, store, stored } from './storage.ts';

export type Theme = 'system' | 'light' | 'dark';

const NAME = 'volant-theme';
const NEXT: Readonly<Record<Theme, Theme>> = { system: 'light', light: 'dark', dark: 'system' };

const known = stored(NAME);

export const theme = signal<Theme>(known === 'light' || known === 'dark' ? known : 'system');

effect(() => {
  const chosen = theme.value;
  if (chosen === 'system') {
    delete document.documentElement.dataset['theme'];
    forget(NAME);
  } else {
    document.documentElement.dataset['theme'] = chosen;
    store(NAME, chosen, 'always');
  }
});

export function nextTheme(): void {
  theme.value = NEXT[theme.peek()];
}
