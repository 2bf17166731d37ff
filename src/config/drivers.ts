// config: the names of the drivers, as in VOLANT_HYPERVISOR, and the traits that the daemon needs before a driver's
// code runs. The drivers themselves are in hypervisor/drivers.

interface DriverTraits {
  /** Its guests are real: they need memory, boot slots and files to boot from. Other drivers only pretend. */
  readonly bootsGuests: boolean;
}

const TRAITS = {
  qemu: { bootsGuests: true },
  simulator: { bootsGuests: false },
} as const satisfies Readonly<Record<string, DriverTraits>>;

/** Stored in the record of each VM, so a name must never be reused for another driver. */
export type DriverName = keyof typeof TRAITS;

/** The value of VOLANT_HYPERVISOR; a path is that of a QEMU. */
export type HypervisorChoice = 'auto' | DriverName | { readonly path: string };

export const DRIVER_NAMES = Object.keys(TRAITS) as readonly DriverName[];

export const isDriverName = (word: string): word is DriverName => Object.hasOwn(TRAITS, word);

export const bootsGuests = (driver: DriverName): boolean => TRAITS[driver].bootsGuests;

/** Returns the driver of a choice. */
export const driverOf = (choice: HypervisorChoice): DriverName =>
  typeof choice === 'object' || choice === 'auto' ? 'qemu' : choice;
