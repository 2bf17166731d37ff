// test helpers: a tree like the part of sysfs that PCI devices are in, and a kernel that obeys what is written
// there, or does not: for faults that a real kernel has only when it is in trouble.

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { TestContext } from 'node:test';

export const VFIO_DRIVER = 'vfio-pci';

export class FakeSysfs {
  readonly root = mkdtempSync(join(tmpdir(), 'volant-sysfs-'));
  /** Devices that vfio-pci does not take. */
  readonly refused = new Set<string>();
  readonly #devices = join(this.root, 'bus/pci/devices');
  readonly #drivers = join(this.root, 'bus/pci/drivers');
  readonly #watched: Socket[] = [];

  constructor(t: TestContext, drivers: readonly string[]) {
    t.after(() => {
      for (const socket of this.#watched) socket.destroy();
      rmSync(this.root, { recursive: true });
    });
    mkdirSync(this.#devices, { recursive: true });
    for (const driver of [VFIO_DRIVER, ...drivers]) {
      mkdirSync(join(this.#drivers, driver), { recursive: true });
      this.obey(driver, 'bind');
      this.obey(driver, 'unbind');
    }
    this.#onWrite(join(this.root, 'bus/pci/drivers_probe'), (address) => this.#probe(address));
  }

  addDevice(address: string, group: string, driver: string): void {
    const directory = join(this.#devices, address);
    const members = join(this.root, 'kernel/iommu_groups', group, 'devices');
    mkdirSync(directory, { recursive: true });
    const files = { vendor: '0x1234', device: '0x11e8', class: '0x00ff00', driver_override: '' };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    if (group !== '') {
      mkdirSync(members, { recursive: true });
      symlinkSync(directory, join(members, address));
      symlinkSync(join(this.root, 'kernel/iommu_groups', group), join(directory, 'iommu_group'));
    }
    if (driver !== '') symlinkSync(join(this.#drivers, driver), join(directory, 'driver'));
  }

  /** Pulled out of its slot. */
  removeDevice(address: string): void {
    rmSync(join(this.#devices, address), { recursive: true });
  }

  removeDriver(name: string): void {
    rmSync(join(this.#drivers, name), { recursive: true });
  }

  driverOf(address: string): string {
    const link = join(this.#devices, address, 'driver');
    return existsSync(link) ? basename(readlinkSync(link)) : '';
  }

  /** Empty when the kernel would choose by itself. */
  overrideOf(address: string): string {
    return readFileSync(join(this.#devices, address, 'driver_override'), 'utf8').trim();
  }

  /** Who writes there now waits forever. */
  block(driver: string, file: 'bind' | 'unbind'): void {
    const path = join(this.#drivers, driver, file);
    rmSync(path);
    execFileSync('mkfifo', [path]);
  }

  obey(driver: string, file: 'bind' | 'unbind'): void {
    const path = join(this.#drivers, driver, file);
    // Who waits there, of a daemon that was killed for example, is let go.
    if (existsSync(path)) closeSync(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    rmSync(path, { force: true });
    this.#onWrite(path, (address) => {
      if (file === 'bind') this.#bind(address, driver);
      else rmSync(join(this.#devices, address, 'driver'), { force: true });
    });
  }

  #probe(address: string): void {
    const driver = this.overrideOf(address);
    if (driver === '' || this.driverOf(address) !== '') return;
    if (driver !== VFIO_DRIVER || !this.refused.has(address)) this.#bind(address, driver);
  }

  #bind(address: string, driver: string): void {
    symlinkSync(join(this.#drivers, driver), join(this.#devices, address, 'driver'));
  }

  /** Files of sysfs are acts: a pipe, each write to which is one. */
  #onWrite(path: string, act: (text: string) => void): void {
    execFileSync('mkfifo', [path]);
    // Open for both ways it has a reader always, and never an end.
    const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const socket = new Socket({ fd, readable: true, writable: false });
    socket.on('data', (text) => act(String(text).trim()));
    this.#watched.push(socket);
  }
}
