// scripts: writes docs/openapi.json from the schemas that check the requests. Needs dist/ (npm run build).
// A test compares the file with the schemas, so that it cannot grow old.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from './lib/paths.mjs';

const { buildOpenApi } = await import(join(PROJECT_ROOT, 'dist/schema/openapi.js'));
const { VERSION } = await import(join(PROJECT_ROOT, 'dist/lib/version.js'));
const path = join(PROJECT_ROOT, 'docs/openapi.json');
writeFileSync(path, `${JSON.stringify(buildOpenApi({ version: VERSION }), null, 2)}\n`);
process.stdout.write(`wrote ${path}\n`);
