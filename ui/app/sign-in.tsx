// ui, app: asks for the API key, where the daemon needs one.

import { useState } from 'preact/hooks';
import { hasKey, signIn } from '../data/api.ts';

export function SignIn() {
  const [key, setKey] = useState('');
  const [isKept, setKept] = useState(false);
  return (
    <main class="sign-in" id="main">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          signIn(key.trim(), isKept ? 'always' : 'session');
        }}
      >
        <h1>Volant</h1>
        <p>
          The daemon at <strong>{location.host}</strong> needs an API key.
        </p>
        {hasKey() && (
          <p class="notice" role="alert">
            The key that was sent is wrong or has expired.
          </p>
        )}
        <label>
          API key
          <input
            type="password"
            autoComplete="off"
            spellcheck={false}
            required
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={isKept}
            onChange={(event) => setKept(event.currentTarget.checked)}
          />
          Keep it in this browser; otherwise it is forgotten with this tab
        </label>
        <button type="submit" class="primary" disabled={key.trim() === ''}>
          Sign in
        </button>
        <p class="dim">
          <code>volar keys create</code> makes a key.
        </p>
      </form>
    </main>
  );
}
