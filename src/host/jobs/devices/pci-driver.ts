// jobs, devices: moves a PCI device to vfio-pci and back to its driver. The kernel may take minutes for these reads
// and writes; see sysfs-bounded.ts.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../../config/limits.ts';
import { JobFault } from '../fault.ts';
import type { HostSettings, JobArgument } from '../protocol.ts';
import { runOrLeave } from '../run-program.ts';
import { deviceDirectory, driverOf } from './pci.ts';
import { readSysfs, writeSysfs } from './sysfs-bounded.ts';

const VFIO_DRIVER = 'vfio-pci';

const SETTLE_PAUSE_MS = 10;

/** Returns the device's driver_override; empty when there is none. */
export async function readOverride({
  settings,
  address,
}: JobArgument<'readOverride'>): Promise<string> {
  const file = overrideFile(settings, address);
  const doing = 'tell its driver_override';
  const text = await readSysfs({ settings, address, file, doing });
  return text === '(null)' ? '' : text;
}

/**
 * Binds the device to vfio-pci. driver_override applies to one device, unlike new_id. Throws DEVICE_FAILED,
 * DEVICE_BUSY, VFIO_UNAVAILABLE.
 */
export async function bindDevice({ settings, address }: JobArgument<'bindDevice'>): Promise<null> {
  const { sysfsRoot } = settings;
  const former = driverOf(sysfsRoot, address);
  if (former === VFIO_DRIVER) return null;
  await loadDriver(sysfsRoot);
  await setOverride(settings, address, VFIO_DRIVER);
  if (former !== '') await unbind(settings, address, former);
  await probe(settings, address);
  if (await hasDriver(sysfsRoot, address, VFIO_DRIVER)) return null;
  throw new JobFault('DEVICE_FAILED', `vfio-pci did not take device ${address}`);
}

/**
 * Gives the device back to the driver that it had, or to none. A missing device, or one that got another driver
 * meanwhile, is no error.
 */
export async function releaseDevice({
  settings,
  address,
  former,
}: JobArgument<'releaseDevice'>): Promise<null> {
  const { sysfsRoot } = settings;
  if (!existsSync(deviceDirectory(sysfsRoot, address))) return null;
  await setOverride(settings, address, former.override);
  const current = driverOf(sysfsRoot, address);
  if (current === former.driver) return null;
  // Another program has bound it to another driver.
  if (current !== '' && current !== VFIO_DRIVER) return null;
  if (current === VFIO_DRIVER) await unbind(settings, address, VFIO_DRIVER);
  if (former.driver === null) await probe(settings, address);
  else if (former.driver !== '') await giveTo(settings, address, former.driver);
  return null;
}

async function giveTo(settings: HostSettings, address: string, driver: string): Promise<void> {
  // vfio-pci may take back only a device whose override names it, which was restored above.
  if (driver === VFIO_DRIVER) await probe(settings, address);
  else {
    const file = join(settings.sysfsRoot, 'bus/pci/drivers', driver, 'bind');
    await writeSysfs({ settings, address, file, text: address, doing: `bind it to ${driver}` });
  }
  if (await hasDriver(settings.sysfsRoot, address, driver)) return;
  throw new JobFault('DEVICE_FAILED', `Driver ${driver} did not take device ${address} back`);
}

async function setOverride(settings: HostSettings, address: string, driver: string): Promise<void> {
  const file = overrideFile(settings, address);
  // A single newline clears it. An empty string would not cause a write.
  const text = driver === '' ? '\n' : driver;
  await writeSysfs({ settings, address, file, text, doing: 'set its driver_override' });
}

function overrideFile({ sysfsRoot }: HostSettings, address: string): string {
  return join(deviceDirectory(sysfsRoot, address), 'driver_override');
}

async function unbind(settings: HostSettings, address: string, driver: string): Promise<void> {
  const file = join(settings.sysfsRoot, 'bus/pci/drivers', driver, 'unbind');
  await writeSysfs({ settings, address, file, text: address, doing: `unbind it from ${driver}` });
}

/** Lets the kernel find a driver, by the override or in its own order. */
async function probe(settings: HostSettings, address: string): Promise<void> {
  const file = join(settings.sysfsRoot, 'bus/pci/drivers_probe');
  await writeSysfs({ settings, address, file, text: address, doing: 'look for its driver' });
}

async function loadDriver(sysfsRoot: string): Promise<void> {
  const directory = join(sysfsRoot, 'bus/pci/drivers', VFIO_DRIVER);
  if (existsSync(directory)) return;
  const { status, said } = await runOrLeave('modprobe', [VFIO_DRIVER], LIMITS.deviceTimeoutMs);
  if (existsSync(directory)) return;
  const remedy = 'the kernel must have the module vfio-pci, load it with modprobe vfio-pci';
  const why = status === null ? `modprobe exceeded its deadline; ${remedy}` : remedy;
  throw new JobFault('VFIO_UNAVAILABLE', `vfio-pci is not available: ${why}`, said);
}

/** Some drivers bind a device shortly after the request. */
async function hasDriver(sysfsRoot: string, address: string, driver: string): Promise<boolean> {
  const deadlineMs = performance.now() + LIMITS.deviceSettleMs;
  while (driverOf(sysfsRoot, address) !== driver) {
    if (performance.now() > deadlineMs) return false;
    await pause(SETTLE_PAUSE_MS);
  }
  return true;
}
