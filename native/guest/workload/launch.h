// guest: the process that becomes the workload, and what a process leaves behind.
#ifndef VOLANT_GUEST_LAUNCH_H
#define VOLANT_GUEST_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

#include "workload/manifest.h"

#define LAUNCH_FAILURE_BYTES 160

// Executes the program in the calling process, which was forked for it, with `out` and `err` as its output. On failure writes
// a sentence to the descriptor `report` and exits. Changes the program: the home of its user is known here only.
void launch_child(struct program *program, int out, int err, int report) __attribute__((noreturn));
// Sets who knows further process groups that are not the workload's.
void launch_know_group(bool (*is_known)(pid_t group));
// The number of processes whose parent is the agent, and whose group is none of these two and not known: what a workload has
// left in the background.
unsigned launch_left_behind(pid_t group, pid_t other_group);
// The number of processes that the guest's kernel has killed because memory was short, or 0 if it is not known.
unsigned long launch_memory_kills(void);

#endif
