// ui, base: where the user is. The place is in the fragment of the address (#/vms/one?tab=console), so that every page has
// an address without a rule in the server. Which page a path has is in app/pages.ts.

import { signal } from '@preact/signals';

export interface Place {
  /** Begins with a slash. */
  readonly path: string;
  readonly query: URLSearchParams;
}

const HOME = '/vms';

function placeIn(fragment: string): Place {
  const [path = '', query = ''] = fragment.replace(/^#/, '').split('?');
  return { path: path.startsWith('/') ? path : HOME, query: new URLSearchParams(query) };
}

export const place = signal<Place>(placeIn(location.hash));

window.addEventListener('hashchange', () => {
  place.value = placeIn(location.hash);
});

/** The address of a place, for links. Each name becomes one segment. */
export function to(segments: readonly string[], query: Readonly<Record<string, string>> = {}) {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ''));
  const text = search.toString();
  return `#/${segments.map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`;
}

export function go(segments: readonly string[], query?: Readonly<Record<string, string>>): void {
  location.hash = to(segments, query);
}

/** Changes the query of the present place without a new entry in the history: for filters while the user types. */
export function replaceQuery(query: Readonly<Record<string, string>>): void {
  const segments = place.peek().path.split('/').slice(1).map(decodeURIComponent);
  history.replaceState(null, '', to(segments, query));
  place.value = placeIn(location.hash);
}

/**
 * The parameters of a path that fits a pattern such as `/vms/:name`; null if it does not fit, or has a broken escape.
 */
export function parametersIn(pattern: string, path: string): Record<string, string> | null {
  const [wanted, given] = [pattern.split('/'), path.split('/')];
  if (wanted.length !== given.length) return null;
  const found: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? '';
    if (!part.startsWith(':')) {
      if (part !== value) return null;
      continue;
    }
    try {
      found[part.slice(1)] = decodeURIComponent(value);
    } catch (error) {
      if (error instanceof URIError) return null;
      throw error;
    }
  }
  return found;
}
