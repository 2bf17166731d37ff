// ui, parts: a terminal in the page. Load it with import(): xterm.js is larger than everything else together.

import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';

export interface OpenTerminal {
  write(output: Uint8Array | string): void;
  focus(): void;
  close(): void;
}

const SCROLLBACK_LINES = 5_000;

const THEME = {
  background: '#101318',
  foreground: '#e4e8ee',
  cursor: '#7fb0ff',
  selectionBackground: '#31527f',
};

/** Fills the element with a terminal, and follows its size. `onInput` gets what the user types. */
export function openTerminal(element: HTMLElement, onInput: (text: string) => void): OpenTerminal {
  const styles = new AdoptedStyles();
  const terminal = new Terminal({
    scrollback: SCROLLBACK_LINES,
    fontFamily: 'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace',
    fontSize: 13,
    screenReaderMode: false,
    theme: THEME,
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  styles.during(() => terminal.open(element));
  terminal.onData(onInput);
  const observer = new ResizeObserver(() => fit.fit());
  observer.observe(element);
  return {
    write: (output) => terminal.write(output),
    focus: () => terminal.focus(),
    close: () => {
      observer.disconnect();
      terminal.dispose();
      styles.close();
    },
  };
}

/**
 * xterm.js writes its styles into <style> elements, which the content security policy forbids. While a terminal opens, the
 * document gives it stand-ins for them: their text becomes a style sheet of the object model, which is allowed.
 */
class AdoptedStyles {
  readonly #sheets: CSSStyleSheet[] = [];

  /** `work` must create its <style> elements before it returns. */
  during(work: () => void): void {
    const create = document.createElement.bind(document);
    document.createElement = (tag: string, options?: ElementCreationOptions) =>
      tag === 'style' ? this.#standIn(create('span')) : create(tag, options);
    try {
      work();
    } finally {
      // That of the prototype is seen again.
      Reflect.deleteProperty(document, 'createElement');
    }
  }

  close(): void {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter(
      (sheet) => !this.#sheets.includes(sheet),
    );
  }

  #standIn(element: HTMLElement): HTMLElement {
    const sheet = new CSSStyleSheet();
    this.#sheets.push(sheet);
    document.adoptedStyleSheets.push(sheet);
    element.hidden = true;
    Object.defineProperty(element, 'textContent', {
      set: (text: string) => sheet.replaceSync(text),
    });
    return element;
  }
}
