// ui, app: the start of the dashboard: one stream of events for each session, and the shell or the question for a key.

import { effect, untracked } from '@preact/signals';
import { render } from 'preact';
import { session } from '../data/api.ts';
import { connectFeed, disconnectFeed } from '../data/event-feed.ts';
import { followVms } from '../data/vm-store.ts';
import { Shell } from './shell.tsx';
import { SignIn } from './sign-in.tsx';

function Application() {
  // The shell is shown while the first answer is on its way: most daemons answer at once.
  return session.value === 'refused' ? <SignIn /> : <Shell />;
}

let endFollowing: (() => void) | null = null;

function begin(): void {
  disconnectFeed();
  endFollowing?.();
  endFollowing = followVms();
  connectFeed();
}

effect(() => {
  if (session.value === 'asking') untracked(begin);
  if (session.value === 'refused') untracked(disconnectFeed);
});

const root = document.getElementById('app');
if (root !== null) render(<Application />, root);
