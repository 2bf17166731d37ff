// scripts: packs a plugin's image (npm run image -- DIRECTORY --output FILE.cpio [--module NAME]): the
// agent, busybox and kernel modules, with the content of a directory on top.

import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Failure, runMain } from './lib/command.mjs';
import { findBusybox } from './lib/debian.mjs';
import { packInitramfs } from './lib/initramfs.mjs';
import { DEFAULT_MODULES } from './lib/kernel-modules.mjs';
import { BUILD, userCommand } from './lib/paths.mjs';
import { guestKernel } from './setup.mjs';

const USAGE = `Use: ${userCommand('image', 'DIRECTORY', '--output', 'FILE.cpio', '[--module NAME]...')}

  DIRECTORY   becomes the root directory of the guest, beside the agent and busybox
  --output    the image to write; give it to a plugin's manifest as initramfs.url
  --module    a kernel module that your workload needs, loaded at boot; may be repeated`;

/** npm runs scripts in the checkout; paths mean what they mean where the user stands. */
const fromUser = (path) => resolve(process.env.INIT_CWD ?? process.cwd(), path);

function readArguments() {
  const options = {
    output: { type: 'string' },
    module: { type: 'string', multiple: true, default: [] },
  };
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options });
    if (positionals.length !== 1 || !values.output) throw new Failure(USAGE);
    return {
      directory: fromUser(positionals[0]),
      output: fromUser(values.output),
      modules: values.module,
    };
  } catch (error) {
    if (!error.code?.startsWith('ERR_PARSE_ARGS')) throw error;
    throw new Failure(`${error.message}\n\n${USAGE}`);
  }
}

await runMain(async () => {
  const { directory, output, modules: ownModules } = readArguments();
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
