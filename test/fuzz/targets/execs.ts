// fuzz: what guests say to the daemon about execs: frames of a connection to one, and descriptions. A guest's root can say
// anything.

import { execOf } from '../../../src/engine/execs/exec-agent.ts';
import { type ExecFrame, ExecFrameParser } from '../../../src/lib/formats/exec-frames.ts';
import { ExecSchema } from '../../../src/schema/exec.ts';
import { compileValidator } from '../../../src/schema/validate.ts';
import { type FuzzTarget, hold, piecesOf } from '../target.ts';

const check = compileValidator(ExecSchema);

/** null when the parser gave up; then what came before in the same pieces may be left out. */
function framesOf(pieces: readonly Buffer[]): ExecFrame[] | null {
  const parser = new ExecFrameParser();
  const all: ExecFrame[] = [];
  for (const piece of pieces) {
    const frames = parser.push(piece);
    if (frames === null) return null;
    all.push(...frames);
  }
  return all;
}

function described(text: string): void {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return;
    throw error;
  }
  const exec = execOf('vm', value);
  if (exec === null) return;
  const problems = check(exec);
  hold(problems === null, `a description has the shape of an exec: ${JSON.stringify(problems)}`);
}

const execFrames: FuzzTarget = {
  name: 'exec-frames',
  bytesMax: 16384,
  tokens: ['\x01\x09\0\0\0\0\0\0\0\0\0\0x', '\x03\x09\0\0\x05\0\0\0\0\0\0\0\x01', '\x04\x02\0\0{}'],
  run(input) {
    const whole = framesOf([input]);
    const cut = framesOf(piecesOf(input, input.length));
    hold((whole === null) === (cut === null), 'pieces make no difference');
    if (whole === null || cut === null) return;
    hold(JSON.stringify(whole) === JSON.stringify(cut), 'pieces make no difference');
    for (const frame of whole) if (frame.type === 'end') described(frame.text);
  },
};

export const execTargets: readonly FuzzTarget[] = [execFrames];
