// What is read out of a guest's console after its end.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { evidenceIn } from '../../../../src/engine/vms/ends/console-evidence.ts';

const of = (...lines: readonly string[]) => evidenceIn(Buffer.from(lines.join('\r\n')));
const PANIC = 'Kernel panic - not syncing: sysrq triggered crash';

suite('the last lines of a console', () => {
  test('are those of a panic, whatever comes after it', () => {
    const words = of('hello', `[    4.2] ${PANIC}`, '[    4.3] Call Trace:', '[    5.0] Rebooting');
    assert.deepEqual(words, { end: 'panicked', line: PANIC });
    assert.deepEqual(of('reboot: Restarting system', 'Linux', `<0>[ 1.0] ${PANIC}`).line, PANIC);
  });

  test('say that a guest has rebooted, unless it panicked afterwards', () => {
    assert.deepEqual(of(PANIC, '[   10.0] reboot: Restarting system'), {
      end: 'rebooted',
      line: null,
    });
  });

  test('report a lack of memory, else what was printed last', () => {
    const killed = 'Out of memory: Killed process 81 (node) total-vm:1kB';
    assert.deepEqual(of(`[  9.1] ${killed}`, 'workload ended'), { end: null, line: killed });
    assert.deepEqual(of('first', 'last', '', ''), { end: null, line: 'last' });
    assert.deepEqual(of(), { end: null, line: null });
  });

  test('are one line of plain text, however a guest prints', () => {
    assert.equal(
      of('\u001b[1;31mred\u001b[0m \u001b]0;title\u0007\u0000text\u009b').line,
      'red text',
    );
    const long = of('😀'.repeat(1_000)).line ?? '';
    assert.equal([...long].length, 200);
    const broken = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('text')]);
    assert.match(evidenceIn(broken).line ?? '', /text$/);
  });
});
