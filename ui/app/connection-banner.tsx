// ui, app: says that the dashboard is not connected, so that nobody takes what it shows for the present state.

import { duration, nowMs } from '../base/time.ts';
import { connectFeed, connection } from '../data/event-feed.ts';

export function ConnectionBanner() {
  const now = connection.value;
  if (now.state !== 'lost') return null;
  const lostFor = duration(Math.max(0, nowMs.value - now.sinceMs));
  return (
    <div class="banner" role="alert">
      <strong>Not connected.</strong>
      <span>
        What is shown may be old. {now.reason}. Trying again for {lostFor}.
      </span>
      <button type="button" onClick={connectFeed}>
        Try now
      </button>
    </div>
  );
}
