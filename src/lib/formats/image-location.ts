// lib, formats: parses the location of an image: an http or https URL, a file URL or an absolute path. Pure. Whether
// it may be used is checked by the jobs.

export interface ImageLocation {
  /** An absolute path, or the http or https URL as it was given. */
  readonly location: string;
  readonly isRemote: boolean;
}

/** Returns the location, or a sentence that says what is wrong. */
export function imageLocation(text: string): ImageLocation | string {
  if (text.includes('\0')) return 'must not contain NUL';
  if (text.startsWith('/')) return { location: text, isRemote: false };
  if (!/^(https?|file):\/\//i.test(text)) {
    return 'must be an http(s) or file URL or an absolute path';
  }
  if (/^https?:\/\/\//i.test(text) || !URL.canParse(text)) return 'is not a valid URL';
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') return 'must not contain a user or a password';
  return url.protocol === 'file:' ? fileLocation(url) : { location: text, isRemote: true };
}

function fileLocation(url: URL): ImageLocation | string {
  if (url.host !== '') return 'must not name a host: write file:/// and an absolute path';
  if (url.search !== '' || url.hash !== '') return 'must have %3F and %23 for "?" and "#"';
  try {
    const location = decodeURIComponent(url.pathname);
    return location.includes('\0') ? 'must not contain NUL' : { location, isRemote: false };
  } catch {
    // decodeURIComponent throws only URIError, for a "%" that starts no byte of UTF-8.
    return 'has a "%" that begins no character: write %25 for the sign itself';
  }
}

/** Returns a location for messages and logs, without user, password and query, which may contain a signature. */
export function withoutSecrets(location: string): string {
  // Names of container images have a colon, too, and no secrets.
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(location) && URL.canParse(location);
  if (!isUrl) {
    return location.replace(/^(https?:\/\/)[^/]*@/i, '$1');
  }
  const { protocol, host, pathname, search } = new URL(location);
  return `${protocol}//${host}${pathname}${search === '' ? '' : '?…'}`;
}
