// lib, net: detects "." and ".." segments in URL paths. Clients and the server share this rule.

/** A slash or backslash, plain or escaped any number of times. */
const SEPARATOR = '(?:[\\\\/]|%(?:25)*(?:2f|5c))';
const DOT = '(?:\\.|%(?:25)*2e)';
const DOT_SEGMENT = new RegExp(`(?:^|${SEPARATOR})${DOT}{1,2}(?=${SEPARATOR}|$)`, 'i');

/**
 * Whether a segment of the path, without its query, is "." or "..", escaped or not. Clients, proxies and servers
 * resolve these at different places, and each may undo one more level of escaping.
 */
export function hasDotSegment(path: string): boolean {
  // Most paths have neither a dot after a slash nor an escape.
  if (!path.includes('%') && !path.includes('/.') && !path.includes('\\')) {
    return path === '.' || path === '..' || path.startsWith('./') || path.startsWith('../');
  }
  return DOT_SEGMENT.test(path);
}
