// guest: the root disk's own init as process 1, with the agent beside it.
#ifndef VOLANT_GUEST_INIT_H
#define VOLANT_GUEST_INIT_H

#include <stdbool.h>
#include <sys/types.h>

// Forks. The parent executes the program at `path` and stays process 1. Returns true in the child, which is the agent from
// then on. Returns false, with errno, in process 1 if the program cannot be executed. `name` is the agent's argv[0].
bool init_start(const char *path, char *name);
// Whether the agent runs beside an init.
bool init_is_beside(void);
// Asks the init to power off.
void init_power_off(void);
// Must be called for each child that has ended.
void init_child_ended(pid_t pid, int status);

#endif
