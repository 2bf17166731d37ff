// ui, app: what is around every page: skip link, header, navigation, messages, dialogs.

import { useEffect, useMemo, useRef } from 'preact/hooks';
import { place } from '../base/router.ts';
import { useShortcuts } from '../base/shortcuts.ts';
import { nextTheme, theme } from '../base/theme.ts';
import { api, hasKey, signOut } from '../data/api.ts';
import { connection } from '../data/event-feed.ts';
import { useResource } from '../data/resource.ts';
import { Confirmation } from '../parts/dialog.tsx';
import { Toasts } from '../parts/toasts.tsx';
import { ConnectionBanner } from './connection-banner.tsx';
import { CurrentPage, pageAt } from './current-page.tsx';
import { Help, isHelpOpen } from './help.tsx';
import { PAGES } from './pages.ts';

const openHelp = () => {
  isHelpOpen.value = true;
};

export function Shell() {
  const keys = useMemo(
    () => [
      { keys: '?', label: 'Show this list', run: openHelp },
      { keys: 't', label: 'Light, dark or the theme of the system', run: nextTheme },
      ...PAGES.flatMap(({ path, title, key }) =>
        key === undefined
          ? []
          : [{ keys: `g ${key}`, label: `Go to ${title}`, run: () => (location.hash = path) }],
      ),
    ],
    [],
  );
  useShortcuts(keys);
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the content
      </button>
      <Header />
      <ConnectionBanner />
      <main id="main" tabIndex={-1}>
        <CurrentPage />
      </main>
      <Toasts />
      <Confirmation />
      <Help />
    </>
  );
}

function Header() {
  const [info] = useResource(
    'info',
    (signal) => api().system.info({ signal }),
    () => false,
  );
  const version = info.state === 'ready' ? info.value.version : '';
  return (
    <header class="top">
      <a class="brand" href="#/vms">
        Volant
      </a>
      <Navigation />
      <div class="top-end">
        <span class="host" title={version === '' ? undefined : `volantd ${version}`}>
          {location.host} <span class="dim">{version}</span>
        </span>
        <ConnectionMark />
        <button
          type="button"
          class="quiet"
          onClick={nextTheme}
          title="Light, dark or the theme of the system (t)"
        >
          Theme: {theme.value}
        </button>
        <button type="button" class="quiet" onClick={openHelp} title="Keyboard shortcuts (?)">
          Keys
        </button>
        {hasKey() && (
          <button type="button" class="quiet" onClick={signOut}>
            Sign out
          </button>
        )}
      </div>
    </header>
  );
}

function Navigation() {
  const entry = pageAt(place.value.path)?.entry;
  const current = entry?.below ?? entry?.path;
  const element = useRef<HTMLElement>(null);
  useEffect(() => {
    // On a narrow screen not all of them are in view.
    element.current?.querySelector('[aria-current]')?.scrollIntoView({ inline: 'center' });
  }, [current]);
  return (
    <nav class="nav" aria-label="Pages" ref={element}>
      {PAGES.filter(({ key }) => key !== undefined).map(({ path, title }) => (
        <a key={path} href={`#${path}`} aria-current={path === current ? 'page' : undefined}>
          {title}
        </a>
      ))}
    </nav>
  );
}

const CONNECTION_WORDS = { connecting: 'connecting', open: 'live', lost: 'not connected' } as const;

function ConnectionMark() {
  const { state } = connection.value;
  const tone = { connecting: 'busy', open: 'good', lost: 'bad' }[state];
  return <span class={`badge badge-${tone}`}>{CONNECTION_WORDS[state]}</span>;
}
