// guest: one check of the workload's health.
#ifndef VOLANT_GUEST_HEALTH_H
#define VOLANT_GUEST_HEALTH_H

#include <sys/types.h>

#include "workload/manifest.h"

#define HEALTH_FAILURE_BYTES 224

// Gets NULL for success, else why the check failed.
typedef void (*health_callback)(const char *failure);
// Does one check, as program->check says, and calls back once, possibly before it returns. Does nothing while a check is under
// way. The caller keeps the program alive until then.
void health_probe(const struct program *program, health_callback done);
// Ends a check that is under way. It does not call back.
void health_abandon(void);
// Must be called for each child that has ended.
void health_child_ended(pid_t pid, int status);
// The process group of a command that is under way, else 0.
pid_t health_group(void);

#endif
