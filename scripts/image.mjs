// scripts: builds the image of a plugin (npm run image -- DIRECTORY --output FILE.cpio [--module NAME]) from the agent,
// busybox, kernel modules and the content of a directory.

import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { readArguments } from './lib/arguments.mjs';
import { Failure, runMain } from './lib/command.mjs';
import { packInitramfs } from './lib/guest/initramfs.mjs';
import { DEFAULT_MODULES } from './lib/guest/kernel-modules.mjs';
import { BUILD, userCommand } from './lib/paths.mjs';
import { findBusybox } from './lib/systems/debian.mjs';
import { guestKernel } from './setup.mjs';

const USAGE = `Use: ${userCommand('image', 'DIRECTORY', '--output', 'FILE.cpio', '[--module NAME]...')}

  DIRECTORY   becomes the root directory of the guest, beside the agent and busybox
  --output    the image to write; give it to a plugin's manifest as initramfs.url
  --module    a kernel module that your workload needs, loaded at boot; may be repeated`;

/** npm runs scripts in the checkout, but paths are relative to the user's directory. */
const fromUser = (path) => resolve(process.env.INIT_CWD ?? process.cwd(), path);

function readRequest() {
  const options = {
    output: { type: 'string' },
    module: { type: 'string', multiple: true, default: [] },
  };
  const { values, positionals } = readArguments({ allowPositionals: true, options }, USAGE);
  if (positionals.length !== 1 || !values.output) throw new Failure(USAGE);
  return {
    directory: fromUser(positionals[0]),
    output: fromUser(values.output),
    modules: values.module,
  };
}

await runMain(async () => {
  const { directory, output, modules: ownModules } = readRequest();
  if (!existsSync(directory) || !statSync(directory).isDirectory()) {
    throw new Failure(`${directory} is not a directory.`);
  }
  const busybox = findBusybox();
  if (!existsSync(BUILD.agent) || busybox === null) {
    throw new Failure(`The agent or busybox is missing: run \`${userCommand('setup')}\` first.`);
  }
  const { bytes, modules } = await packInitramfs({
    agent: BUILD.agent,
    busybox,
    kernelModulesDirectory: (await guestKernel()).modulesDirectory,
    modules: [...DEFAULT_MODULES, ...ownModules],
    overlays: [directory],
    output,
  });
  process.stdout.write(
    `${output}: ${(bytes / 2 ** 20).toFixed(1)} MiB, ${modules.length} kernel modules\n`,
  );
});
