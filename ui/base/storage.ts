// ui, base: what the browser keeps for the user: the API key and the theme. A browser may refuse storage, and the dashboard
// then works without it.

export type Keep = 'session' | 'always';

const storageOf = (keep: Keep) => (keep === 'session' ? sessionStorage : localStorage);

function attempt<T>(use: () => T, otherwise: T): T {
  try {
    return use();
  } catch (error) {
    // SecurityError: storage is switched off. QuotaExceededError: it is full.
    if (error instanceof DOMException) return otherwise;
    throw error;
  }
}

export function stored(name: string): string | null {
  return attempt(() => sessionStorage.getItem(name) ?? localStorage.getItem(name), null);
}

/** Of this tab until it is closed, or of this browser until it is forgotten. */
export function store(name: string, value: string, keep: Keep): void {
  attempt(() => storageOf(keep).setItem(name, value), undefined);
}

export function forget(name: string): void {
  attempt(() => {
    sessionStorage.removeItem(name);
    localStorage.removeItem(name);
  }, undefined);
}
