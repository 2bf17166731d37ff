// workers, job: giving a PCI device to vfio-pci and back. The kernel may take minutes over what is read and written
// here: see sysfs-bounded.ts.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../config.ts';
import type { HostSettings, JobArgument } from '../protocol.ts';
import { JobFault } from './fault.ts';
import { deviceDirectory, driverOf } from './pci.ts';
import { readSysfs, runBounded, writeSysfs } from './sysfs-bounded.ts';

const VFIO_DRIVER = 'vfio-pci';

const SETTLE_PAUSE_MS = 10;

/** The one driver that the kernel gives the device to; empty when it may choose. */
export async function readOverride({
  settings,
  address,
}: JobArgument<'readOverride'>): Promise<string> {
  const file = overrideFile(settings, address);
  const doing = 'tell its driver_override';
  const text = await readSysfs({ settings, address, file, doing });
  return text === '(null)' ? '' : text;
}

/** Ends with the device on vfio-pci. driver_override names one device, unlike new_id. */
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

/** Ends with the device on the driver that it had, or without one when it had none. */
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
  // Who put another driver in our place knows why.
  if (current !== '' && current !== VFIO_DRIVER) return null;
  if (current === VFIO_DRIVER) await unbind(settings, address, VFIO_DRIVER);
  if (former.driver === null) await probe(settings, address);
  else if (former.driver !== '') await giveTo(settings, address, former.driver);
  return null;
}

async function giveTo(settings: HostSettings, address: string, driver: string): Promise<void> {
  // One that vfio-pci had before may take it only by its override, which it has again.
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
  // A single newline clears it; an empty write would be no write at all.
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

/** The kernel looks for a driver, in its own order or by the override. */
async function probe(settings: HostSettings, address: string): Promise<void> {
  const file = join(settings.sysfsRoot, 'bus/pci/drivers_probe');
  await writeSysfs({ settings, address, file, text: address, doing: 'look for its driver' });
}

async function loadDriver(sysfsRoot: string): Promise<void> {
  const directory = join(sysfsRoot, 'bus/pci/drivers', VFIO_DRIVER);
  if (existsSync(directory)) return;
  const { status, said } = await runBounded('modprobe', [VFIO_DRIVER]);
  if (existsSync(directory)) return;
  const remedy = 'the kernel must have the module vfio-pci, load it with modprobe vfio-pci';
  const why = status === null ? `modprobe was not back in time; ${remedy}` : remedy;
  throw new JobFault('VFIO_UNAVAILABLE', `vfio-pci is not there: ${why}`, said);
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
