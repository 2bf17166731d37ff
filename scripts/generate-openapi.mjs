// scripts: generates docs/openapi.json from the schemas that check requests. Needs build/modules (npm run build). A test compares
// the file with the schemas, so it cannot become outdated.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD, PROJECT_ROOT } from './lib/paths.mjs';

const { buildOpenApi } = await import(join(BUILD.modules, 'schema/openapi/openapi.js'));
const { VERSION } = await import(join(BUILD.modules, 'lib/version.js'));
const path = join(PROJECT_ROOT, 'docs/openapi.json');
writeFileSync(path, `${JSON.stringify(buildOpenApi({ version: VERSION }), null, 2)}\n`);
process.stdout.write(`wrote ${path}\n`);
