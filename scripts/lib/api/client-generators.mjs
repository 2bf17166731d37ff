// scripts: the client generators under test, as data and steps: what each needs, how it is run, and how its client is
// tested. generated-clients.mjs decides their order and prints the results.

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, findCommand, run } from '../command.mjs';
import { PROJECT_ROOT } from '../paths.mjs';

/** A tool that is missing on this machine, or a file that cannot be downloaded. */
export class Unavailable extends Error {
  name = 'Unavailable';
}

const DOCUMENT = join(PROJECT_ROOT, 'docs/openapi.json');
const FIXTURES = join(PROJECT_ROOT, 'test/fixtures/generated-clients');
const FETCH_TIMEOUT_MS = 60_000;
const STEP_TIMEOUT_MS = 600_000;

/** The last version of this package that contains the program itself; later versions download it. */
const OPENAPI_GENERATOR = '@openapitools/openapi-generator-cli@1.0.18-4.3.1';
const JAR = 'package/bin/openapi-generator.jar';

const VERSIONS = {
  oapiCodegen: 'github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.4.1',
  ogen: 'github.com/ogen-go/ogen/cmd/ogen@v1.8.1',
  pythonClient: 'openapi-python-client==0.24.3',
};

export const GENERATORS = [
  { name: 'openapi-generator python', attempt: generatedPython },
  { name: 'openapi-generator go', attempt: generatedGo },
  { name: 'openapi-generator rust', attempt: generatedRust },
  { name: 'openapi-generator java', attempt: generatedJava },
  { name: 'oapi-codegen', attempt: oapiCodegen },
  { name: 'ogen', attempt: ogen },
  { name: 'openapi-python-client', attempt: pythonClient },
];

function need(command) {
  const path = findCommand(command);
  if (path === null) throw new Unavailable(`${command} is not installed`);
  return path;
}

const step = (file, args, options = {}) =>
  run(file, args, { timeout: STEP_TIMEOUT_MS, ...options });

/** A step that needs servers of others. If it fails, they count as unreachable. */
async function fetching(what, file, args, options = {}) {
  try {
    return await run(file, args, { timeout: FETCH_TIMEOUT_MS, ...options });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const [, ...lines] = error.message.split('\n').map((line) => line.trim());
    const reason = lines.find((line) => /error|host|resolve|found/i.test(line)) ?? lines[0] ?? '';
    throw new Unavailable(`${what} cannot be fetched (${reason.slice(0, 160)})`);
  }
}

/** The folder of a client that the Java program generated for a language. */
async function generate({ folder, done }, language, document = DOCUMENT) {
  const java = need('java');
  mkdirSync(folder, { recursive: true });
  const pack = [
    'pack',
    '--silent',
    '--prefer-offline',
    '--pack-destination',
    folder,
    OPENAPI_GENERATOR,
  ];
  const archive = (await fetching(OPENAPI_GENERATOR, 'npm', pack)).trim();
  await step('tar', ['-xf', join(folder, archive), '-C', folder, JAR]);
  const client = join(folder, 'client');
  const options = ['-g', language, '-i', document, '-o', client];
  await step(java, ['-jar', join(folder, JAR), 'generate', ...options]);
  done.push('generated');
  return client;
}

/** Runs a program that uses the client, if there is a daemon. */
async function tryOut({ api, done }, file, args, options) {
  if (api === null) {
    done.push('not run without --api');
    return;
  }
  await step(file, [...args, api], options);
  done.push('created a VM, changed it, read an error');
}

async function generatedPython(trial) {
  const python = need('python3');
  const client = await generate(trial, 'python');
  const env = { ...process.env, PYTHONPATH: client };
  for (const name of ['urllib3', 'six', 'certifi', 'dateutil']) {
    await step(python, ['-c', `import ${name}`]).catch((error) => {
      if (!(error instanceof Failure)) throw error;
      throw new Unavailable(`${python} has no ${name} (python3-${name} in Debian)`);
    });
  }
  await step(python, ['-c', 'import openapi_client'], { env });
  trial.done.push('imported');
  const program = join(trial.folder, 'program.py');
  copyFileSync(join(FIXTURES, 'program.py.txt'), program);
  await tryOut(trial, python, [program], { env });
}

/** This generator writes each operation once for each of its tags, which does not compile in Go. */
function withOneTag(folder) {
  const document = JSON.parse(readFileSync(DOCUMENT, 'utf8'));
  for (const operation of Object.values(document.paths).flatMap((path) => Object.values(path))) {
    operation.tags = operation.tags.slice(0, 1);
  }
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'one-tag.json');
  writeFileSync(path, JSON.stringify(document));
  return path;
}

async function generatedGo(trial) {
  const go = need('go');
  const client = await generate(trial, 'go', withOneTag(trial.folder));
  const sources = join(trial.folder, 'gopath/src');
  const optional = join(sources, 'github.com/antihax/optional');
  const program = join(sources, 'program');
  for (const directory of [optional, program]) mkdirSync(directory, { recursive: true });
  await step('cp', ['-r', client, join(sources, 'volant')]);
  copyFileSync(join(FIXTURES, 'optional.go.txt'), join(optional, 'optional.go'));
  copyFileSync(join(FIXTURES, 'program.go.txt'), join(program, 'main.go'));
  const debian = '/usr/share/gocode';
  if (!existsSync(join(debian, 'src/golang.org/x/oauth2'))) {
    throw new Unavailable('golang-golang-x-oauth2-dev is not installed');
  }
  const paths = `${join(trial.folder, 'gopath')}:${debian}`;
  const env = { ...process.env, GO111MODULE: 'off', GOPATH: paths, GOFLAGS: '' };
  await step(go, ['build', '-o', join(trial.folder, 'program'), 'program'], { env });
  trial.done.push('compiled (with one tag for each operation)');
  await tryOut(trial, join(trial.folder, 'program'), []);
}

async function generatedRust(trial) {
  const client = await generate(trial, 'rust');
  const cargo = need('cargo');
  await fetching('crates', cargo, ['fetch'], { cwd: client });
  await step(cargo, ['build'], { cwd: client });
  trial.done.push('compiled');
}

async function generatedJava(trial) {
  const client = await generate(trial, 'java');
  const maven = need('mvn');
  const quietly = ['--batch-mode', '--quiet'];
  await fetching('packages of Maven', maven, [...quietly, 'dependency:resolve'], { cwd: client });
  await step(maven, [...quietly, 'compile'], { cwd: client });
  trial.done.push('compiled');
}

async function goModule({ folder }) {
  const go = need('go');
  mkdirSync(folder, { recursive: true });
  await step(go, ['mod', 'init', 'volant'], { cwd: folder });
  return go;
}

async function oapiCodegen(trial) {
  const go = await goModule(trial);
  const options = ['-generate', 'types,client', '-package', 'main', '-o', 'api.go', DOCUMENT];
  const args = ['run', VERSIONS.oapiCodegen, ...options];
  await fetching('oapi-codegen', go, ['install', VERSIONS.oapiCodegen], { cwd: trial.folder });
  await step(go, args, { cwd: trial.folder });
  await compileGo(trial, go);
}

async function ogen(trial) {
  const go = await goModule(trial);
  await fetching('ogen', go, ['install', VERSIONS.ogen], { cwd: trial.folder });
  const options = ['--target', '.', '--package', 'main', '--clean', DOCUMENT];
  await step(go, ['run', VERSIONS.ogen, ...options], { cwd: trial.folder });
  await compileGo(trial, go);
}

async function compileGo({ folder, done }, go) {
  done.push('generated');
  writeFileSync(join(folder, 'main.go'), 'package main\n\nfunc main() {}\n');
  await fetching('modules of the client', go, ['mod', 'tidy'], { cwd: folder });
  await step(go, ['build', './...'], { cwd: folder });
  done.push('compiled');
}

async function pythonClient({ folder, done }) {
  const python = need('python3');
  mkdirSync(folder, { recursive: true });
  await step(python, ['-m', 'venv', 'venv'], { cwd: folder });
  const bin = join(folder, 'venv/bin');
  const install = ['install', '--quiet', '--retries', '0', VERSIONS.pythonClient];
  await fetching('openapi-python-client', join(bin, 'pip'), install);
  const options = ['generate', '--path', DOCUMENT, '--output-path', join(folder, 'client')];
  await step(join(bin, 'openapi-python-client'), options, { cwd: folder });
  done.push('generated');
  const env = { ...process.env, PYTHONPATH: join(folder, 'client') };
  await step(join(bin, 'python'), ['-c', 'import volant_rest_api_client.api.vm.create_vm'], {
    env,
  });
  done.push('imported');
}
