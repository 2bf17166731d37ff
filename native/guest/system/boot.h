// guest: the first steps of process 1.
#ifndef VOLANT_GUEST_BOOT_H
#define VOLANT_GUEST_BOOT_H

// Mounts /dev, /proc, /sys and the temporary file systems, and opens the console. A failure is reported on the console.
void boot_mount(void);
// Loads the kernel modules in /mods, in the order of their names. A failure is reported on the console.
void boot_load_modules(void);

#endif
