// guest: the end of the guest.
#ifndef VOLANT_GUEST_POWER_H
#define VOLANT_GUEST_POWER_H

#include <stdbool.h>

// Sets the function that is called when the guest begins to end, with false, and before its disks are made clean, with true.
void power_before_end(void (*callback)(bool is_last));
// Stops the workload, or asks the init to end, and powers the machine off. Does nothing if that is under way.
void power_off(void);
// The same with timeout_ms for the workload. If it is under way already, the workload has timeout_ms from now.
void power_off_within(int timeout_ms);
// Powers off because the workload has ended and is not started again. The last line of the console says how it ended: its exit
// code or its signal, the other one is -1. The daemon takes it from there, also if it did not run meanwhile.
void power_off_after_end(int exit_code, int exit_signal);
// Powers off when the power button is pressed.
void power_watch_button(void);

#endif
