// ui, pages: the console of a VM, its serial port, as long as the page shows it.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { Console } from '../../../src/client/sockets.ts';
import type { Vm } from '../../../src/schema/vm.ts';
import { api } from '../../data/api.ts';
import type { OpenTerminal } from '../../parts/terminal.ts';

export function VmConsole({ vm }: { readonly vm: Vm }) {
  const element = useRef<HTMLDivElement>(null);
  const [news, setNews] = useState('Connecting…');
  const isUp = vm.status === 'running' || vm.status === 'stopping';
  useEffect(() => {
    const place = element.current;
    if (!isUp || place === null) return undefined;
    const ending = new AbortController();
    void show(place, vm.name, ending.signal, setNews);
    return () => ending.abort();
  }, [vm.name, vm.pid, isUp]);
  return (
    <>
      <p class="dim" role="status">
        {isUp ? news : 'The VM does not run, so it has no console.'}
      </p>
      {isUp && <div class="console" ref={element} />}
    </>
  );
}

/** Resolves when the console has ended, by either side. */
async function show(
  element: HTMLElement,
  name: string,
  signal: AbortSignal,
  tell: (news: string) => void,
): Promise<void> {
  let terminal: OpenTerminal | null = null;
  let console: Console | null = null;
  try {
    const { openTerminal } = await import('../../parts/terminal.ts');
    if (signal.aborted) return;
    const opened = openTerminal(element, (text) => console?.write(text));
    terminal = opened;
    const connecting = api().sockets.console(name, { onOutput: opened.write, signal });
    console = await connecting;
    tell('Connected. What you type goes to the guest; everybody who has the console open sees it.');
    opened.focus();
    const reason = await console.closed;
    if (!signal.aborted) tell(`The console is closed${reason === '' ? '' : `: ${reason}`}.`);
    await aborted(signal);
  } catch (error) {
    if (!signal.aborted) tell(error instanceof Error ? error.message : String(error));
    await aborted(signal);
  } finally {
    console?.close();
    terminal?.close();
  }
}

/** What was printed last stays until the page shows something else. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
