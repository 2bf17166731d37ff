// scripts: compiles what a package is made of before npm packs it. Says nothing when it goes well, so that
// `npm pack --json` stays JSON.

import { Failure, runMain } from './lib/command.mjs';
import { compile } from './setup.mjs';

await runMain(async () => {
  try {
    await compile(() => undefined);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(`The package cannot be made.\n${error.message}`);
  }
});
