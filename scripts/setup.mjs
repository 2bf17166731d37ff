// scripts: prepares a checkout (npm run setup) or an installed package (volantd setup): packages, native programs, the
// compiled daemon, the dashboard, a guest kernel and the hello image. Each step is skipped if nothing has changed. In an
// installed package, npm has done the steps of npm, of the compiler and of the dashboard.

import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildNative } from './build-native.mjs';
import { Failure, findCommand, run, runMain } from './lib/command.mjs';
import { extractKernel, findKernel } from './lib/guest/guest-kernel.mjs';
import { packInitramfs } from './lib/guest/initramfs.mjs';
import { DEFAULT_MODULES, ROOT_DISK_MODULES } from './lib/guest/kernel-modules.mjs';
import { BUILD, homeDirectory, IS_CHECKOUT, PROJECT_ROOT, userCommand } from './lib/paths.mjs';
import { alreadyThere, createProgress } from './lib/progress.mjs';
import { buildProblems, canWriteBelow, requireNone } from './lib/service/preflight.mjs';
import { digest, isFresh, remember } from './lib/stamp.mjs';
import {
  fetchBusybox,
  fetchKernel,
  findBusybox,
  installPackages,
  KERNEL_ROOT,
  missingTools,
} from './lib/systems/debian.mjs';

/**
 * Runs the missing steps of the set-up. `home` is the daemon's home directory; null skips it (tests have homes of their
 * own). Throws a Failure with the remedy.
 */
export async function setup({ log, home }) {
  requireNone([...buildProblems(), ...packageProblems()]);
  await log.step('packages', installTools);
  if (IS_CHECKOUT) await log.step('npm', installNodeModules);
  await log.step('native', buildNativePrograms);
  if (IS_CHECKOUT) await log.step('compile', compile);
  if (IS_CHECKOUT) await log.step('dashboard', bundleUi);
  await log.step('kernel', prepareKernel);
  await log.step('image', packImages);
  if (home !== null) await log.step('home', () => fillHome(home));
}

/** Setup writes into the package, which another user may have installed. */
function packageProblems() {
  return canWriteBelow(BUILD.root)
    ? []
    : [`${BUILD.root} cannot be written: run this as the owner of ${PROJECT_ROOT}, or as root.`];
}

async function installTools(tell) {
  const missing = missingTools();
  if (missing.length > 0) {
    tell(`installing ${missing.join(' ')}`);
    await installPackages(missing);
  }
  const fetched = findBusybox() === null ? ['busybox-static'] : [];
  if (fetched.length > 0) await fetchBusybox();
  const all = [...missing, ...fetched];
  return all.length === 0 ? alreadyThere('all there') : `installed ${all.join(' ')}`;
}

async function installNodeModules(tell) {
  const lockFile = join(PROJECT_ROOT, 'package-lock.json');
  const before = readFileSync(lockFile);
  const value = digest({ paths: [lockFile], texts: [process.version] });
  const outputs = ['node_modules/typescript', 'node_modules/piscina', 'node_modules/lmdb'];
  const inProject = outputs.map((path) => join(PROJECT_ROOT, path));
  if (isFresh('npm', value, inProject)) return alreadyThere('all there');
  tell('npm install');
  await run('npm', ['install', '--no-audit', '--no-fund'], { cwd: PROJECT_ROOT });
  if (!readFileSync(lockFile).equals(before)) {
    throw new Failure(
      'npm changed package-lock.json: it does not match package.json. Commit the new one, or restore it with `git checkout package-lock.json`.',
    );
  }
  remember('npm', value);
  return 'installed the packages of package-lock.json';
}

async function buildNativePrograms(tell) {
  tell('addon, guest agent, simulator');
  const built = await buildNative();
  return built.length === 0 ? alreadyThere('all there') : `built ${built.join(', ')}`;
}

/** True if dist/ matches the sources; an installed package has no sources. */
export async function isCompiled() {
  if (!IS_CHECKOUT) return true;
  const { areProgramsBuilt } = await import('./build-programs.mjs');
  return areProgramsBuilt();
}

/** An installed package has the programs and neither their sources nor this script. */
async function compile(tell) {
  const { buildPrograms } = await import('./build-programs.mjs');
  return buildPrograms(tell);
}

/** An installed package has the bundle and neither its sources nor this script. */
async function bundleUi(tell) {
  const { buildUi } = await import('./build-ui.mjs');
  return buildUi(tell);
}

/** The kernel for guests: the host's own if it meets the requirements, otherwise from a package that is only unpacked. */
export async function guestKernel(tell = () => {}) {
  const own = findKernel('/');
  if (own?.madeForGuests) return own;
  const unpacked = findKernel(KERNEL_ROOT);
  if (unpacked !== null) return unpacked;
  try {
    tell('downloading a kernel made for guests');
    await fetchKernel();
  } catch (error) {
    // The host's general kernel is slower, but it boots.
    if (!(error instanceof Failure) || own === null) throw error;
    return own;
  }
  const kernel = findKernel(KERNEL_ROOT);
  if (kernel === null) throw new Failure(`The kernel unpacked to ${KERNEL_ROOT} cannot be used.`);
  return kernel;
}

async function prepareKernel(tell) {
  const kernel = await guestKernel(tell);
  const { size, mtimeMs } = statSync(kernel.bzImage);
  const value = digest({ texts: [kernel.bzImage, String(size), String(mtimeMs)] });
  const [vmlinux, bzImage] = [join(BUILD.images, 'vmlinux'), join(BUILD.images, 'bzImage')];
  const output = existsSync(vmlinux) ? vmlinux : bzImage;
  if (isFresh('kernel', value, [output])) return alreadyThere(`Linux ${kernel.version}`);
  tell('unpacking');
  mkdirSync(BUILD.images, { recursive: true });
  const packed = readFileSync(kernel.bzImage);
  const unpacked = extractKernel(packed);
  writeInOneStep(unpacked === null ? bzImage : vmlinux, unpacked ?? packed);
  rmSync(unpacked === null ? vmlinux : bzImage, { force: true });
  remember('kernel', value);
  return unpacked === null
    ? `Linux ${kernel.version}, used unchanged`
    : `Linux ${kernel.version}, unpacked`;
}

/** Images that setup builds: a plugin for a first VM, and one that mounts a root disk. */
const IMAGES = [
  { name: 'hello', overlays: [join(PROJECT_ROOT, 'images/hello')], withBusybox: true },
  { name: 'boot', overlays: [], withBusybox: false, modules: ROOT_DISK_MODULES },
];

async function packImages() {
  const results = [];
  for (const image of IMAGES) results.push(await packImage(image));
  const packed = results.filter((result) => result !== null);
  const names = IMAGES.map(({ name }) => `${name}.cpio`).join(', ');
  return packed.length === 0 ? alreadyThere(names) : `packed ${packed.join(', ')}`;
}

/** null if the image is up to date. */
async function packImage({ name, overlays, withBusybox, modules = DEFAULT_MODULES }) {
  const output = join(BUILD.images, `${name}.cpio`);
  const kernel = await guestKernel();
  const busybox = withBusybox ? findBusybox() : null;
  const packers = ['initramfs', 'cpio', 'kernel-modules'].map((script) =>
    join(PROJECT_ROOT, `scripts/lib/guest/${script}.mjs`),
  );
  const inputs = [...overlays, BUILD.agent, ...(busybox === null ? [] : [busybox]), ...packers];
  const value = digest({ paths: inputs, texts: [kernel.version, ...modules] });
  if (isFresh(name, value, [output])) return null;
  const { bytes } = await packInitramfs({
    agent: BUILD.agent,
    busybox,
    kernelModulesDirectory: kernel.modulesDirectory,
    modules,
    overlays,
    output,
  });
  remember(name, value);
  return `${name}.cpio, ${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function fillHome(home) {
  const directories = { kernel: join(home, 'kernel'), images: join(home, 'images') };
  for (const directory of [home, ...Object.values(directories)]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }
  const kernels = ['vmlinux', 'bzImage'].filter((name) => existsSync(join(BUILD.images, name)));
  const copied = [
    ...kernels.map((name) => copyIfChanged(name, directories.kernel)),
    ...IMAGES.map(({ name }) => copyIfChanged(`${name}.cpio`, directories.images)),
  ].filter((name) => name !== null);
  return copied.length === 0 ? alreadyThere(home) : `copied ${copied.join(', ')} to ${home}`;
}

const NO_THROW = { throwIfNoEntry: false };

/** A regular file that every user can read, despite the umask: hypervisors run as other users. */
const FOR_HYPERVISORS = 0o100644;

/** Returns the name if the file was copied, null if it is the same already. */
function copyIfChanged(name, directory) {
  const [source, target] = [join(BUILD.images, name), join(directory, name)];
  const [from, to] = [statSync(source), statSync(target, NO_THROW)];
  if (to?.size === from.size && to.mtimeMs >= from.mtimeMs && to.mode === FOR_HYPERVISORS)
    return null;
  // Running guests keep the file that they were started from.
  copyFileSync(source, `${target}.new`);
  chmodSync(`${target}.new`, FOR_HYPERVISORS);
  renameSync(`${target}.new`, target);
  return name;
}

function writeInOneStep(file, content) {
  writeFileSync(`${file}.new`, content);
  renameSync(`${file}.new`, file);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await runMain(
    async () => {
      if (IS_CHECKOUT && findCommand('npm') === null) {
        throw new Failure('npm is missing: install it with Node.');
      }
      await setup({ log: createProgress(), home: homeDirectory() });
    },
    { usage: `Use: ${userCommand('setup')}. It takes no arguments.`, allowed: [] },
  );
}
