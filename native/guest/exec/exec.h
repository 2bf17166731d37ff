// guest: programs that the daemon runs in the guest: their life, output and input.
#ifndef VOLANT_GUEST_EXEC_H
#define VOLANT_GUEST_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/loop.h"
#include "exec/command.h"
#include "exec/output.h"

#define EXEC_TIME_BYTES 32
#define EXEC_COMMAND_BYTES 400

struct exec {
  bool used;
  char id[COMMAND_ID_BYTES_MAX + 1];
  char command[EXEC_COMMAND_BYTES];  // its arguments as members of a JSON array, truncated
  char user[COMMAND_USER_BYTES_MAX + 1];
  bool tty, takes_input;
  pid_t pid;  // 0: it has ended
  bool is_over;  // it has ended, and all of its output was read
  bool timed_out;
  int exit_code, exit_signal;  // -1: it has not ended in this way
  int kill_after_ms;
  char started_at[EXEC_TIME_BYTES], ended_at[EXEC_TIME_BYTES];
  uint64_t number;  // counts the execs of this boot
  struct exec_output outputs[2];  // stdout and stderr; a terminal has the first only
  struct source input;            // standard input that is a pipe
  bool input_open, input_full;
  uint64_t input_bytes;
  struct source launch;  // watched until it is known whether the program could be executed
  bool launching;
  char failure[COMMAND_FAILURE_BYTES];
  int failure_status;
};

enum exec_refusal { EXEC_STARTED, EXEC_TOO_MANY, EXEC_NO_RESOURCES };

// Sets up the bounds on memory, and what the end of the guest does to programs that run.
void exec_begin(void);
// Sets the listeners. First: when it is known whether a program could be executed; `failure` is empty then, or says why not, and
// the exec is removed after the call. Second: when there is output, room for input or an end, and when the exec was removed.
void exec_on_change(void (*of_launch)(struct exec *exec), void (*of_progress)(struct exec *exec));
// Starts a program. The command is not needed after the call.
enum exec_refusal exec_start(struct command *command, struct exec **started);
// The exec with this id, or NULL.
struct exec *exec_find(const char *id, size_t length);
// Calls `visit` for each, oldest first.
void exec_each(void (*visit)(struct exec *exec, void *context), void *context);
// Sends a signal to the process group. Returns false if the program has ended.
bool exec_signal(struct exec *exec, int number);
// Sets the size of the terminal. Returns false if there is none, or the program has ended.
bool exec_resize(struct exec *exec, unsigned rows, unsigned columns);
// Writes to standard input. Returns how much was taken: 0 if it is full. Returns -1 if it is closed.
ssize_t exec_write_input(struct exec *exec, const char *bytes, size_t length);
// Ends standard input. On a terminal, types its end-of-file character.
void exec_close_input(struct exec *exec);
// Reads on after `is_held` or `held_from` of an output has changed.
void exec_resume(struct exec *exec);
// Kills the program if it runs, and forgets it.
void exec_remove(struct exec *exec);
// Must be called for each child that has ended.
void exec_child_ended(pid_t pid, int status);

#endif
