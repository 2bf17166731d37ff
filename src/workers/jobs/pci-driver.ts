// workers, job: giving a PCI device to vfio-pci and back. A write to sysfs may block for as long as
// somebody holds the device, and nothing can interrupt it: each one is made by a process of its own,
// which is left behind when its time is over.

import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { LIMITS } from '../../config.ts';
import type { JobArgument } from '../protocol.ts';
import { JobFault } from './fault.ts';
import { deviceDirectory, driverOf } from './pci.ts';

const VFIO_DRIVER = 'vfio-pci';

const SETTLE_PAUSE_MS = 10;

/** Ends with the device on vfio-pci, or as it was. driver_override names one device, unlike new_id. */
export async function bindDevice({ settings, address }: JobArgument<'bindDevice'>): Promise<null> {
  const { sysfsRoot } = settings;
  const former = driverOf(sysfsRoot, address);
  if (former === VFIO_DRIVER) return null;
  await loadDriver(sysfsRoot);
  try {
    await writeSysfs(override(sysfsRoot, address), VFIO_DRIVER);
    if (former !== '') await writeSysfs(driverFile(sysfsRoot, former, 'unbind'), address);
    await writeSysfs(join(sysfsRoot, 'bus/pci/drivers_probe'), address);
    if (await hasDriver(sysfsRoot, address, VFIO_DRIVER)) return null;
    throw new JobFault('DEVICE_FAILED', `vfio-pci did not take device ${address}`);
  } catch (error) {
    // What failed first is told. The engine gives it back once more, and says when that fails.
    await giveBack(sysfsRoot, address, former).catch(() => undefined);
    throw error;
  }
}

/** Ends with the device on the driver that it had, or without one when it had none. */
export async function releaseDevice({
  settings,
  address,
  formerDriver,
}: JobArgument<'releaseDevice'>): Promise<null> {
  const { sysfsRoot } = settings;
  if (!existsSync(deviceDirectory(sysfsRoot, address))) return null;
  await giveBack(sysfsRoot, address, formerDriver);
  return null;
}

async function giveBack(sysfsRoot: string, address: string, former: string): Promise<void> {
  // A single newline clears it; an empty write would be no write at all.
  await writeSysfs(override(sysfsRoot, address), '\n');
  const current = driverOf(sysfsRoot, address);
  if (current === former) return;
  if (current !== '') await writeSysfs(driverFile(sysfsRoot, current, 'unbind'), address);
  if (former === '' || former === VFIO_DRIVER) return;
  await writeSysfs(driverFile(sysfsRoot, former, 'bind'), address);
  if (await hasDriver(sysfsRoot, address, former)) return;
  throw new JobFault('DEVICE_FAILED', `Driver ${former} did not take device ${address} back`);
}

async function loadDriver(sysfsRoot: string): Promise<void> {
  const directory = join(sysfsRoot, 'bus/pci/drivers', VFIO_DRIVER);
  if (existsSync(directory)) return;
  try {
    const env = { PATH: '/usr/sbin:/sbin:/usr/bin:/bin' };
    await promisify(execFile)('modprobe', [VFIO_DRIVER], { env, timeout: LIMITS.deviceTimeoutMs });
  } catch (error) {
    const remedy = 'the kernel must have the module vfio-pci, load it with modprobe vfio-pci';
    throw new JobFault('VFIO_UNAVAILABLE', `vfio-pci is not there: ${remedy}`, error);
  }
  if (existsSync(directory)) return;
  throw new JobFault('VFIO_UNAVAILABLE', 'vfio-pci is not there although its module is loaded');
}

/** Some drivers take a device a moment after they were told to. */
async function hasDriver(sysfsRoot: string, address: string, driver: string): Promise<boolean> {
  const deadlineMs = performance.now() + LIMITS.deviceSettleMs;
  while (driverOf(sysfsRoot, address) !== driver) {
    if (performance.now() > deadlineMs) return false;
    await pause(SETTLE_PAUSE_MS);
  }
  return true;
}

function override(sysfsRoot: string, address: string): string {
  return join(deviceDirectory(sysfsRoot, address), 'driver_override');
}

function driverFile(sysfsRoot: string, driver: string, file: 'bind' | 'unbind'): string {
  return join(sysfsRoot, 'bus/pci/drivers', driver, file);
}

/** Writes in another process. DEVICE_BUSY when the kernel does not come back in time. */
function writeSysfs(path: string, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const script = 'printf %s "$1" > "$2"';
    const child = spawn('/bin/sh', ['-c', script, 'sh', text, path], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    const timer = setTimeout(() => {
      // It may be beyond signals; then it ends when the device is let go.
      child.kill('SIGKILL');
      child.unref();
      child.stderr.destroy();
      const seconds = LIMITS.deviceTimeoutMs / 1000;
      const why = `The kernel waits for more than ${seconds} s: something still holds the device`;
      reject(new JobFault('DEVICE_BUSY', why, path));
    }, LIMITS.deviceTimeoutMs);
    child.stderr.on('data', (chunk) => {
      said = (said + chunk).slice(0, 512);
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (status) => {
      clearTimeout(timer);
      if (status === 0) resolve();
      else reject(new JobFault('DEVICE_FAILED', 'The kernel refused to change a driver', said));
    });
  });
}
