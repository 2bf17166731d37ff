// fuzz: what hypervisors say on their control sockets. One that its guest has taken over can say anything.

import { diskCountersIn } from '../../../src/hypervisor/qmp-disks.ts';
import { QmpLines, type QmpMessage } from '../../../src/hypervisor/qmp-messages.ts';
import { type FuzzTarget, hold, piecesOf } from '../target.ts';

/** null when the parser gave up. */
function messagesOf(pieces: readonly string[]): QmpMessage[] | null {
  const lines = new QmpLines();
  const all: QmpMessage[] = [];
  for (const piece of pieces) {
    const messages = lines.push(piece);
    if (messages === null) return null;
    all.push(...messages);
  }
  return all;
}

const isText = (value: unknown) => value === undefined || typeof value === 'string';

const qmp: FuzzTarget = {
  name: 'qmp',
  bytesMax: 8192,
  isJson: true,
  tokens: [
    '{"QMP":{}}\n',
    '{"return":{},"id":1}\n',
    '"error":',
    '"event":"SHUTDOWN"',
    '"data":',
    '"reason":',
    '"nospace":true',
    '\n',
  ],
  run(input) {
    const text = `${input.toString('latin1')}\n`;
    const whole = messagesOf([text]);
    const cut = messagesOf(
      piecesOf(Buffer.from(text, 'latin1'), text.length).map((piece) => piece.toString('latin1')),
    );
    hold(JSON.stringify(whole) === JSON.stringify(cut), 'pieces make no difference');
    for (const { id, refusal, event, reason, isDiskFull } of whole ?? []) {
      hold(id === undefined || typeof id === 'number', 'an id is a number');
      hold(isText(refusal) && isText(event) && isText(reason), 'texts are texts');
      hold(typeof isDiskFull === 'boolean', 'the disk is full or not');
    }
  },
};

const qmpDisks: FuzzTarget = {
  name: 'qmp-disks',
  bytesMax: 8192,
  isJson: true,
  tokens: [
    '{"device":"disk0","stats":{}}',
    '"rd_bytes":1',
    '"rd_operations":1',
    '"wr_bytes":1',
    '"wr_operations":1',
    '"flush_operations":1',
    '"disk1"',
  ],
  run(input) {
    let answer: unknown;
    try {
      answer = JSON.parse(input.toString('latin1'));
    } catch {
      return;
    }
    const disks = diskCountersIn(answer);
    for (const { device, ...counters } of disks) {
      hold(/^disk\d+$/.test(device), 'a disk of the guest');
      for (const count of Object.values(counters)) {
        hold(Number.isSafeInteger(count) && count >= 0, 'a counter is a count');
      }
    }
    const numbers = disks.map(({ device }) => Number(device.slice(4)));
    hold(
      numbers.every((number, at) => at === 0 || (numbers[at - 1] ?? 0) <= number),
      'disks are in order',
    );
  },
};

export const hypervisorTargets = [qmp, qmpDisks];
