// jobs, media: writes the seed of a VM: a small disk image with the documents of cloud-init.

import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JobArgument, JobResult } from '../protocol.ts';
import { directoryOf } from './disks.ts';
import { fatImage } from './formats/fat-image.ts';

/** The label by which cloud-init's NoCloud source finds the file system. FAT labels are upper case. */
const SEED_LABEL = 'CIDATA';

/** Writes the image atomically and returns its path. Only the daemon can read it, because it may contain passwords. */
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
