// lib: paths of URLs that climb. One rule for who sends them and for who gets them.

/** A slash or backslash, as it is or escaped, however often. */
const SEPARATOR = '(?:[\\\\/]|%(?:25)*(?:2f|5c))';
const DOT = '(?:\\.|%(?:25)*2e)';
const DOT_SEGMENT = new RegExp(`(?:^|${SEPARATOR})${DOT}{1,2}(?=${SEPARATOR}|$)`, 'i');

/**
 * true when a segment of the path is "." or "..", escaped or not. Clients, proxies and servers resolve
 * these at different places, and each escape may be undone once more on the way. The path is without query.
 */
export function hasDotSegment(path: string): boolean {
  // Most paths have neither a dot after a slash nor an escape.
  if (!path.includes('%') && !path.includes('/.') && !path.includes('\\')) {
    return path === '.' || path === '..' || path.startsWith('./') || path.startsWith('../');
  }
  return DOT_SEGMENT.test(path);
}
