// ui, pages: the lines that the workload of a VM writes, as they come; and the end of the console of a VM that does not run.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { LogLine } from '../../../src/client/types.ts';
import type { Vm } from '../../../src/schema/vm.ts';
import { exact } from '../../base/time.ts';
import { api } from '../../data/api.ts';
import { useResource } from '../../data/resource.ts';
import { Search } from '../../parts/search.tsx';
import { Failure, Loading } from '../../parts/states.tsx';
import { useVirtualRows } from '../../parts/virtual-rows.ts';

const LINES_MAX = 5_000;
const TAIL_LINES = 1_000;
/** Lines that come together are shown together. */
const SHOW_MS = 100;
const ROW_PX = 20;

export function VmLogs({ vm }: { readonly vm: Vm }) {
  return vm.status === 'running' ? <LiveLog key={vm.pid} vm={vm} /> : <LastOutput vm={vm} />;
}

interface Log {
  readonly lines: readonly LogLine[];
  readonly news: string;
}

/** Follows the log as long as it is shown. While `isPaused`, new lines are kept, but not shown. */
function useLog(name: string, isPaused: boolean): Log & { readonly waiting: number } {
  const [shown, setShown] = useState<Log>({ lines: [], news: 'Connecting…' });
  const all = useRef<LogLine[]>([]);
  const added = useRef(0);
  const paused = useRef(isPaused);
  paused.current = isPaused;
  const [, setWaiting] = useState(0);
  useEffect(() => {
    const ending = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const show = (news: string) => {
      clearTimeout(timer);
      timer = undefined;
      if (ending.signal.aborted) return;
      setWaiting(added.current);
      if (paused.current) return;
      added.current = 0;
      setShown({ lines: [...all.current], news });
    };
    const follow = async () => {
      try {
        const lines = api().sockets.logs(name, { tail: TAIL_LINES, signal: ending.signal });
        timer = setTimeout(show, SHOW_MS, 'Following the workload');
        for await (const line of lines) {
          all.current.push(line);
          added.current += 1;
          if (all.current.length > 2 * LINES_MAX) all.current.splice(0, LINES_MAX);
          timer ??= setTimeout(show, SHOW_MS, 'Following the workload');
        }
        show('The log has ended');
      } catch (error) {
        show(error instanceof Error ? error.message : String(error));
      }
    };
    void follow();
    return () => {
      ending.abort();
      clearTimeout(timer);
    };
  }, [name]);
  useEffect(() => {
    if (isPaused) return;
    added.current = 0;
    setShown(({ news }) => ({ lines: [...all.current], news }));
  }, [isPaused]);
  return { ...shown, waiting: added.current };
}

function LiveLog({ vm: { name } }: { readonly vm: Vm }) {
  const [isPaused, setPaused] = useState(false);
  const [text, setText] = useState('');
  const { lines, news, waiting } = useLog(name, isPaused);
  const wanted = text.trim().toLowerCase();
  const found = (
    wanted === '' ? lines : lines.filter(({ line }) => line.toLowerCase().includes(wanted))
  ).slice(-LINES_MAX);
  return (
    <>
      <div class="page-head">
        <button type="button" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
          {isPaused ? `Resume${waiting > 0 ? ` (${waiting} new)` : ''}` : 'Pause'}
        </button>
        <span class="dim" role="status">
          {isPaused ? 'Paused' : news} · {found.length} {found.length === 1 ? 'line' : 'lines'}
        </span>
        <Search
          label="Search in the log"
          placeholder="Search in the log"
          text={text}
          onText={setText}
        />
      </div>
      <Lines lines={found} />
    </>
  );
}

/** Stays at the end as long as the user is there; scrolling up leaves it, scrolling down returns to it. */
function Lines({ lines }: { readonly lines: readonly LogLine[] }) {
  const container = useRef<HTMLElement>(null);
  const isAtEnd = useRef(true);
  const { from, to } = useVirtualRows(container, ROW_PX, lines.length);
  useEffect(() => {
    const element = container.current;
    if (element !== null && isAtEnd.current) element.scrollTop = element.scrollHeight;
  }, [lines]);
  return (
    <section
      class="log"
      aria-label="Log of the workload"
      ref={container}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so keys must reach it
      tabIndex={0}
      onScroll={({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) => {
        isAtEnd.current = scrollTop + clientHeight >= scrollHeight - 2 * ROW_PX;
      }}
    >
      <div class="log-lines" style={{ height: `${lines.length * ROW_PX}px` }}>
        {lines.slice(from, to).map(({ timestamp, stream, line }, offset) => (
          <div
            key={from + offset}
            class={`log-line log-${stream}`}
            style={{ transform: `translateY(${(from + offset) * ROW_PX}px)` }}
          >
            <time dateTime={timestamp} title={timestamp}>
              {exact(timestamp).slice(-8)}
            </time>
            <span>{line}</span>
          </div>
        ))}
      </div>
    </section>
  );
}

function LastOutput({ vm }: { readonly vm: Vm }) {
  const [output, reload] = useResource(
    `${vm.name} ${vm.status}`,
    (signal) => api().vms.consoleLog(vm.name, { signal }),
    () => false,
  );
  if (output.state === 'loading') return <Loading what="the last output" />;
  if (output.state === 'failed') {
    return <Failure what="The last output" error={output.error} onRetry={reload} />;
  }
  return (
    <>
      <p class="dim">
        The VM does not run, so its workload writes nothing. This is the end of its console.
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so keys must reach it */}
      <section class="log" aria-label="End of the console" tabIndex={0}>
        <pre>{output.value === '' ? 'It wrote nothing.' : output.value}</pre>
      </section>
    </>
  );
}
