// guest: the check of the guest's clock.
#ifndef VOLANT_GUEST_CLOCK_H
#define VOLANT_GUEST_CLOCK_H

// Checks the clock: a timer must fire on each processor, and the sysfs at `root` must list a clock event device. Returns NULL,
// or what is wrong. Takes about 20 ms, and up to some seconds if timers do not fire. Never sleeps.
const char *clock_fault(const char *root);
// Ends the machine at once with an exit status of the hypervisor that tells the daemon about the fault. Returns only if
// the machine cannot be ended.
void clock_end_guest(const char *fault);

#endif
