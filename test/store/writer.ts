// test fixture: commits as fast as it can and tells each number once it is on disk, until it is killed.

import { openStore } from '../../src/store/store.ts';
import { silentLog } from '../engine/fakes.ts';

const store = openStore(process.argv[2] ?? '', silentLog);
let next = store.load().lastSequence + 1;
for (;;) {
  const batch = Array.from({ length: 5 }, async () => {
    const value = next++;
    const body = { type: 'X', name: 'x', status: '', timestamp: '' };
    const [stored] = await store.commit([{ table: 'meta', key: 'lastVmId', value }], [body]);
    process.stdout.write(`${stored?.sequence}\n`);
  });
  await Promise.all(batch);
}
