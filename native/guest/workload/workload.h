// guest: the program that the guest exists for.
#ifndef VOLANT_GUEST_WORKLOAD_H
#define VOLANT_GUEST_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/loop.h"

// The size of a buffer for workload_describe.
#define WORKLOAD_BYTES_MAX 10240

// Sets the function that is called, after a short delay, when something that workload_describe reports has changed.
void workload_on_change(void (*callback)(void));
// The exit code or the signal of a workload that has ended; the other one is -1.
typedef void (*final_end_callback)(int exit_code, int exit_signal);
// Sets the function for the end of a workload whose manifest wants no restart. Must be set before there is a manifest.
void workload_on_final_end(final_end_callback callback);
// Takes a manifest and starts its workload. Returns false if there is a manifest already. A malformed manifest counts as a
// workload that has failed.
bool workload_set_manifest(const char *json_text);
// Reports the workload as failed.
void workload_fail(const char *why);
// Reports the workload as failed for good: a manifest that comes later is not started.
void workload_give_up(const char *why);
// Says that the guest's own init starts the programs. A manifest then only says where the workload listens.
void workload_set_external(void);
// Says that the manifest will come over the channel.
void workload_wait_for_manifest(void);
// Must be called for each child that has ended.
void workload_child_ended(pid_t pid, int status);
// Stops the workload: SIGTERM to its process group, and SIGKILL after timeout_ms. Calls back when the workload has ended,
// possibly before it returns. `done` may be NULL.
void workload_stop(int timeout_ms, timer_callback done);
// Gives a stop that is under way timeout_ms from now. Does nothing without one.
void workload_stop_within(int timeout_ms);
// Writes a JSON object that describes the workload. Returns its length.
size_t workload_describe(char *buffer, size_t size);
// Host, port and prefix of base_url. Returns false if there is none.
bool workload_address(const char **host, uint16_t *port, const char **prefix);

#endif
