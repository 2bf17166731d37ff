// ui, parts: a time as a distance to the present, which updates itself.

import { ago, exact, nowMs } from '../base/time.ts';

export function TimeAgo({ at }: { readonly at: string }) {
  return (
    <time dateTime={at} title={`${exact(at)} (${at})`}>
      {ago(at, nowMs.value)}
    </time>
  );
}
