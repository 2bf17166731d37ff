// scripts: compiles the content of a package, and bundles the dashboard, before npm packs it. Prints nothing on success, so
// that the output of `npm pack --json` stays JSON.

import { buildPrograms } from './build-programs.mjs';
import { buildUi } from './build-ui.mjs';
import { Failure, runMain } from './lib/command.mjs';

await runMain(async () => {
  try {
    await buildPrograms();
    await buildUi();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(`The package cannot be built.\n${error.message}`);
  }
});
