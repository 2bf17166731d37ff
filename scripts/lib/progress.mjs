// scripts: prints what is being done and how long it took, one line for each step. In a terminal the line of the current
// step is shown and then replaced. Other outputs get finished lines only, without colours.

const TITLE_WIDTH = 16;

/** The result of a step that had nothing to do. */
export function alreadyThere(detail) {
  return { detail, skipped: true };
}

/**
 * `step(title, work)` runs `work(tell)` and prints its line. `work` returns the text after the title, or
 * alreadyThere(text). `tell(text)` shows what it is doing.
 */
export function createProgress(stream = process.stdout) {
  const terminal = stream.isTTY === true && process.env.TERM !== 'dumb';
  const colours = terminal && !process.env.NO_COLOR;
  const paint = (code, text) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
  const rewrite = (text) => stream.write(`\r\x1b[2K${text.slice(0, (stream.columns || 80) - 1)}`);
  const times = [];

  async function step(title, work) {
    const startedMs = performance.now();
    const head = title.padEnd(TITLE_WIDTH);
    const tell = (text) => {
      if (terminal) rewrite(`  … ${head} ${text}`);
    };
    tell('');
    try {
      const result = await work(tell);
      const { detail, skipped = false } = typeof result === 'string' ? { detail: result } : result;
      const seconds = (performance.now() - startedMs) / 1000;
      times.push({ title, seconds });
      if (terminal) stream.write('\r\x1b[2K');
      const time = skipped ? '' : paint(2, ` (${formatSeconds(seconds)})`);
      stream.write(`  ${paint(skipped ? 2 : 32, skipped ? '·' : '✓')} ${head} ${detail}${time}\n`);
      return result;
    } catch (error) {
      if (terminal) stream.write('\r\x1b[2K');
      stream.write(`  ${paint(31, '✗')} ${head} failed\n`);
      throw error;
    }
  }

  return {
    step,
    times,
    heading: (text) => stream.write(`${paint(1, text)}\n`),
    line: (text = '') => stream.write(`${text}\n`),
    dim: (text) => paint(2, text),
  };
}

export function formatSeconds(seconds) {
  return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
}
