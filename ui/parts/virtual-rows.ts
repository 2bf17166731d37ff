// ui, parts: which rows of a long list are in view. All rows have one height, so that it is arithmetic.

import type { RefObject } from 'preact';
import { useLayoutEffect, useState } from 'preact/hooks';

export interface Window {
  /** The first row to render, and the one after the last. */
  readonly from: number;
  readonly to: number;
  /** The first one in view. */
  readonly first: number;
}

/** Rows beyond the edges, so that a quick scroll shows no gap. */
const OVERSCAN = 10;

/** Follows the scroll position and the size of a container. */
export function useVirtualRows(
  container: RefObject<HTMLElement | null>,
  rowHeight: number,
  count: number,
): Window {
  const [view, setView] = useState({ first: 0, visible: 40 });
  useLayoutEffect(() => {
    const element = container.current;
    if (element === null) return undefined;
    const measure = () => {
      const first = Math.floor(element.scrollTop / rowHeight);
      const visible = Math.ceil(element.clientHeight / rowHeight);
      setView((before) =>
        before.first === first && before.visible === visible ? before : { first, visible },
      );
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.addEventListener('scroll', measure, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener('scroll', measure);
    };
  }, [container, rowHeight]);
  const last = Math.max(0, count - view.visible);
  const first = Math.min(view.first, last);
  return {
    from: Math.max(0, first - OVERSCAN),
    to: Math.min(count, first + view.visible + OVERSCAN),
    first,
  };
}

/** Scrolls by as little as shows the whole row below the head of the table. */
export function revealRow(
  element: HTMLElement,
  index: number,
  rowHeight: number,
  headHeight: number,
): void {
  const top = index * rowHeight;
  const room = element.clientHeight - headHeight;
  if (top < element.scrollTop) element.scrollTop = top;
  else if (top + rowHeight > element.scrollTop + room) element.scrollTop = top + rowHeight - room;
}
