// scripts: runs a command in the lab (npm run lab -- COMMAND): an emulated machine with KVM, an IOMMU,
// vhost-vsock and cgroup version 2, whose root is this machine's root, read-only.

import { Failure, runMain } from './lib/command.mjs';
import { findBusybox } from './lib/systems/debian.mjs';
import { runInLab } from './lib/systems/lab.mjs';
import { guestKernel } from './setup.mjs';

await runMain(async () => {
  const command = process.argv.slice(2).join(' ');
  if (command === '') throw new Failure('Use: npm run lab -- COMMAND');
  const busybox = findBusybox();
  if (busybox === null) throw new Failure('busybox is missing: run `npm run setup` first.');
  process.exitCode = await runInLab({
    command,
    kernel: await guestKernel(),
    busybox,
    onLine: (line) => process.stdout.write(`${line}\n`),
  });
});
