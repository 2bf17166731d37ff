// ui, parts: the field of a page in which its user searches. `/` leads to it, and Escape out of it.

import { useMemo, useRef } from 'preact/hooks';
import { useShortcuts } from '../base/shortcuts.ts';

export interface SearchProps {
  readonly label: string;
  readonly placeholder: string;
  readonly text: string;
  readonly onText: (text: string) => void;
}

export function Search({ label, placeholder, text, onText }: SearchProps) {
  const field = useRef<HTMLInputElement>(null);
  const keys = useMemo(
    () => [{ keys: '/', label: 'Search', run: () => field.current?.focus() }],
    [],
  );
  useShortcuts(keys);
  return (
    <input
      ref={field}
      type="search"
      class="search"
      aria-label={label}
      placeholder={`${placeholder}  ( / )`}
      value={text}
      onInput={(event) => onText(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key === 'Escape') event.currentTarget.blur();
      }}
    />
  );
}
