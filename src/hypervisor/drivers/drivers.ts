// hypervisor: the table of drivers. Each is an object in a file of its own in this folder. Their names are in
// config/drivers.ts.

import type { DriverName } from '../../config/drivers.ts';
import type { Driver } from './driver.ts';
import { qemu } from './qemu.ts';
import { simulator } from './simulator.ts';

export const DRIVERS: Readonly<Record<DriverName, Driver>> = { qemu, simulator };
