// test helpers: PCI devices as the kernel of the lab has them, read without the daemon's help.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Answer, Daemon } from '../e2e/daemon.ts';

const DEVICES = '/sys/bus/pci/devices';

interface Found {
  readonly address: string;
  readonly id: string;
  readonly group: string;
}

export function text(address: string, file: string): string {
  return readFileSync(`${DEVICES}/${address}/${file}`, 'utf8').trim();
}

/** Empty when it has none. */
export function driverOf(address: string): string {
  const link = `${DEVICES}/${address}/driver`;
  return existsSync(link) ? basename(readlinkSync(link)) : '';
}

function devices(): Found[] {
  const id = (address: string, file: string) => text(address, file).replace('0x', '');
  return readdirSync(DEVICES).map((address) => ({
    address,
    id: `${id(address, 'vendor')}:${id(address, 'device')}`,
    group: basename(readlinkSync(`${DEVICES}/${address}/iommu_group`)),
  }));
}

export function membersOf(group: string): string[] {
  return devices()
    .filter((device) => device.group === group)
    .map(({ address }) => address)
    .sort();
}

/** Driver and driver_override of every device: what must be the same afterwards. */
export function stateOfAll(): readonly string[] {
  return devices().map(
    ({ address }) => `${address} ${driverOf(address)} ${text(address, 'driver_override')}`,
  );
}

/** The devices of the lab, by the part that they play. */
export function cast() {
  const all = devices();
  const named = (id: string, isAlone = true) => {
    const found = all.find(
      (device) => device.id === id && (membersOf(device.group).length === 1) === isAlone,
    );
    assert.ok(found, `the lab has ${id}`);
    return found;
  };
  return {
    /** Alone, without a driver. */
    edu: named('1234:11e8'),
    /** With drivers of their own. */
    card: named('1af4:1041'),
    disk: named('1b36:0010'),
    /** Two functions of one card, without drivers. */
    screen: named('1234:1111', false),
    sound: named('8086:293e', false),
    /** Two behind one bridge: the second has a driver. */
    shared: named('1234:11e8', false),
    neighbour: named('1af4:1005', false),
    port: named('1b36:000c'),
  };
}

/** Rejects when it takes longer than two minutes, with what the kernel said of devices. */
export async function until(isSo: () => boolean, what: string): Promise<void> {
  const deadlineMs = performance.now() + 120_000;
  while (!isSo()) {
    if (performance.now() > deadlineMs) {
      const { stdout } = spawnSync('dmesg', { encoding: 'utf8' });
      const said = stdout.split('\n').filter((line) => /pci|nvme|vfio/.test(line));
      throw new Error(`${what}:\n${said.slice(-30).join('\n')}`);
    }
    await pause(50);
  }
}

export const ALLOWED = '1234:*,1af4:*,1b36:0010,8086:293e';

export function ask(daemon: Daemon, operation: string, body: object): Promise<Answer> {
  return daemon.call('POST', `/api/v1/vfio/devices/${operation}`, body);
}
