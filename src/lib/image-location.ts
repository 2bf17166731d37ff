// lib: where an image is, as its owner writes it: an http or https URL, a file URL or an absolute path.
// Pure; whether it may be used is not known here.

export interface ImageLocation {
  /** An absolute path, or an http or https address as it was given. */
  readonly location: string;
  readonly isRemote: boolean;
}

/** The location that a text means, or a sentence that says what is wrong with it. */
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
    // decodeURIComponent throws a URIError for a "%" that begins no byte of UTF-8, and nothing else.
    return 'has a "%" that begins no character: write %25 for the sign itself';
  }
}

/** An address for messages and logs: without user and password, and without a query, which may be signed. */
export function withoutSecrets(location: string): string {
  if (location.startsWith('/') || !URL.canParse(location)) {
    return location.replace(/^(https?:\/\/)[^/]*@/i, '$1');
  }
  const { protocol, host, pathname, search } = new URL(location);
  return `${protocol}//${host}${pathname}${search === '' ? '' : '?…'}`;
}
