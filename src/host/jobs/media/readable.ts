// jobs, media: whether hypervisors, which are users of their own, can read a file.

import { statSync } from 'node:fs';
import { JobFault } from '../fault.ts';

const OTHERS_READ = 0o004;

/** MEDIA_INVALID for a file that other users than its own cannot read; `name` is the client's word for it. */
export function requireReadable(path: string, name: string): void {
  if ((statSync(path).mode & OTHERS_READ) !== 0) return;
  const why = 'cannot be read by hypervisors, which are users of their own: chmod o+r';
  throw new JobFault('MEDIA_INVALID', `${name} ${why}`);
}
