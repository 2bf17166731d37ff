// fuzz: what a guest says to the daemon of a watch of its files. A guest's root can say anything.

import { WatchLines, type WatchWord } from '../../../src/http/guests/files/watch-lines.ts';
import { type FuzzTarget, hold, piecesOf } from '../target.ts';

const CHARACTERS_MAX = 512;

/** null when the parser gave up. */
function wordsOf(pieces: readonly Buffer[]): WatchWord[] | null {
  const lines = new WatchLines(CHARACTERS_MAX);
  const said: WatchWord[] = [];
  for (const piece of pieces) {
    const words = lines.push(piece);
    if (words === null) return null;
    said.push(...words);
  }
  return said;
}

export const watchLines: FuzzTarget = {
  name: 'watch-lines',
  bytesMax: 4096,
  isJson: true,
  tokens: [
    '{"type":"created","path":"/a","kind":"file"}\n',
    '{"type":"overflow"}\n',
    '{"type":"end","reason":"directory_gone"}\n',
    '"from":"/b",',
    '"path_escaped":"/%FF",',
    '"moved"',
    '"directory"',
  ],
  run(input) {
    const whole = wordsOf([input]);
    const cut = wordsOf(piecesOf(input, input.length));
    hold(JSON.stringify(whole) === JSON.stringify(cut), 'pieces make no difference');
    for (const word of whole ?? []) {
      // One event of a stream has one line of data.
      hold(!/[\r\n]/.test(JSON.stringify(word)), 'a change is one line');
      if (word.type === 'overflow' || word.type === 'end') continue;
      hold(word.path.startsWith('/'), 'a path begins at the root');
      hold(
        (word.from === undefined) === (word.type !== 'moved'),
        'a move alone comes from elsewhere',
      );
    }
  },
};
