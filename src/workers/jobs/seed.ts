// workers, job: the seed of a VM, an image that cloud-init finds by its label.

import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fatImage } from '../fat-image.ts';
import type { JobArgument, JobResult } from '../protocol.ts';
import { directoryOf } from './disks.ts';

/** What NoCloud looks for: a file system with this label. FAT has it in capitals. */
const SEED_LABEL = 'CIDATA';

/** Whole or not at all: a start that is cut off leaves no half of an image. Passwords may be in it. */
export function writeSeed({
  settings,
  vmId,
  files,
}: JobArgument<'writeSeed'>): JobResult<'writeSeed'> {
  const directory = directoryOf(settings.diskDirectory, vmId);
  const path = join(directory, 'seed.img');
  const contents = [...files].map(([name, content]) => [name, Buffer.from(content)] as const);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.new`, fatImage(new Map(contents), { label: SEED_LABEL }), { mode: 0o600 });
  renameSync(`${path}.new`, path);
  return path;
}
