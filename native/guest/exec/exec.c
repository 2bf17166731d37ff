// guest: programs that the daemon runs in the guest: their life, output and input. The daemon sees them by routes.c.
#include "exec/exec.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/files.h"
#include "base/text.h"
#include "exec/ends.h"
#include "workload/launch.h"
#include "workload/power.h"

#define EXECS_MAX 64
#define RUNNING_MAX 32
// How long an exec that has ended is kept, unless a new one needs its place.
#define KEEP_MS 600000
// The part of the memory for output that one stream of one exec may take.
#define OUTPUT_SHARE 4
#define END_OF_FILE_DEFAULT 4

static struct exec execs[EXECS_MAX];
static uint64_t next_number;
static void (*on_launch)(struct exec *exec);
static void (*on_progress)(struct exec *exec);

void exec_on_change(void (*of_launch)(struct exec *exec), void (*of_progress)(struct exec *exec)) {
  on_launch = of_launch;
  on_progress = of_progress;
}

static void progress(struct exec *exec) {
  if (on_progress != NULL) on_progress(exec);
}

// ---- the table

struct exec *exec_find(const char *id, size_t length) {
  for (int i = 0; i < EXECS_MAX; i++) {
    if (execs[i].used && strlen(execs[i].id) == length && memcmp(execs[i].id, id, length) == 0) return &execs[i];
  }
  return NULL;
}

void exec_each(void (*visit)(struct exec *exec, void *context), void *context) {
  uint64_t after = 0;
  for (;;) {
    struct exec *next = NULL;
    for (int i = 0; i < EXECS_MAX; i++) {
      bool is_later = execs[i].used && execs[i].number > after;
      if (is_later && (next == NULL || execs[i].number < next->number)) next = &execs[i];
    }
    if (next == NULL) return;
    after = next->number;
    visit(next, context);
  }
}

// Removes the oldest exec that has ended. Returns NULL if there is none.
static struct exec *remove_oldest(void) {
  struct exec *oldest = NULL;
  for (int i = 0; i < EXECS_MAX; i++) {
    if (!execs[i].used || !execs[i].is_over) continue;
    if (oldest == NULL || execs[i].number < oldest->number) oldest = &execs[i];
  }
  if (oldest != NULL) exec_remove(oldest);
  return oldest;
}

// A free place, or that of the oldest exec that has ended. NULL if too many run.
static struct exec *take_place(void) {
  int running = 0;
  for (int i = 0; i < EXECS_MAX; i++) {
    if (execs[i].used && !execs[i].is_over) running++;
  }
  if (running >= RUNNING_MAX) return NULL;
  // Output of execs that have ended gives way to that of new ones.
  while (ring_bytes() > ring_bytes_max() / 2 && remove_oldest() != NULL) continue;
  for (int i = 0; i < EXECS_MAX; i++) {
    if (!execs[i].used) return &execs[i];
  }
  return remove_oldest();
}

// ---- output

static void expire(void *context) {
  exec_remove(context);
}

static void tell_progress(void *context) {
  progress(context);
}

// Readers are notified later, because one of them may be the caller.
static void finish_if_over(struct exec *exec) {
  if (exec->is_over || exec->pid != 0 || exec->outputs[0].open || exec->outputs[1].open) return;
  exec->is_over = true;
  loop_timer(KEEP_MS, expire, exec);
  loop_timer(0, tell_progress, exec);
}

// Returns false when there is nothing to read now.
static bool read_output(struct exec *exec, struct exec_output *output) {
  bool is_more = output_read(output, exec->tty, exec->pid == 0);
  if (exec->tty && !output->open) exec->input_open = false;
  return is_more;
}

static void watch_terminal(struct exec *exec) {
  if (!exec->tty || !exec->outputs[0].open) return;
  struct exec_output *output = &exec->outputs[0];
  loop_change(&output->source, output_events(output) | (exec->input_full ? EPOLLOUT : 0));
}

static void on_output(struct exec *exec, int index, uint32_t events) {
  if (exec->tty && (events & EPOLLOUT)) exec->input_full = false;
  if (!exec->tty || (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) read_output(exec, &exec->outputs[index]);
  watch_terminal(exec);
  finish_if_over(exec);
  progress(exec);
}

static void on_stdout(void *exec, uint32_t events) {
  on_output(exec, 0, events);
}

static void on_stderr(void *exec, uint32_t events) {
  on_output(exec, 1, events);
}

void exec_resume(struct exec *exec) {
  for (int i = 0; i < 2; i++) {
    struct exec_output *output = &exec->outputs[i];
    if (!output->open || output_room(output) == 0) continue;
    if (!exec->tty) loop_change(&output->source, EPOLLIN);
    // The event of the end is over, so the rest is read here.
    while (exec->pid == 0 && output->open && read_output(exec, output)) loop_timer(0, tell_progress, exec);
  }
  watch_terminal(exec);
  finish_if_over(exec);
}

// ---- input

static void drop_input(struct exec *exec) {
  if (!exec->input_open) return;
  exec->input_open = exec->input_full = false;
  if (exec->tty) return;
  loop_remove(&exec->input);
  close(exec->input.fd);
}

static void on_input(void *context, uint32_t events) {
  struct exec *exec = context;
  // The program has closed its standard input.
  if (events & EPOLLERR) drop_input(exec);
  else loop_change(&exec->input, EPOLLERR);
  exec->input_full = false;
  progress(exec);
}

ssize_t exec_write_input(struct exec *exec, const char *bytes, size_t length) {
  if (!exec->input_open) return -1;
  ssize_t count = write(exec->input.fd, bytes, length);
  if (count < 0 && errno == EAGAIN) {
    exec->input_full = true;
    if (exec->tty) watch_terminal(exec);
    else loop_change(&exec->input, EPOLLERR | EPOLLOUT);
    return 0;
  }
  if (count < 0) {
    drop_input(exec);
    return -1;
  }
  exec->input_bytes += (uint64_t)count;
  return count;
}

void exec_close_input(struct exec *exec) {
  if (!exec->tty) return drop_input(exec);
  if (!exec->input_open) return;
  struct termios settings;
  char end = tcgetattr(exec->input.fd, &settings) == 0 ? (char)settings.c_cc[VEOF] : END_OF_FILE_DEFAULT;
  // A terminal that takes no byte now is full of input that the program has not read, which it reads first.
  ssize_t typed = write(exec->input.fd, &end, 1);
  (void)typed;
}

bool exec_resize(struct exec *exec, unsigned rows, unsigned columns) {
  struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
  return exec->tty && exec->outputs[0].open && ioctl(exec->outputs[0].source.fd, TIOCSWINSZ, &size) == 0;
}

// ---- the process

bool exec_signal(struct exec *exec, int number) {
  if (exec->pid == 0) return false;
  // The child may not have made its group yet.
  return kill(-exec->pid, number) == 0 || kill(exec->pid, number) == 0;
}

static void kill_late(void *exec) {
  exec_signal(exec, SIGKILL);
}

static void time_is_over(void *context) {
  struct exec *exec = context;
  exec->timed_out = true;
  exec_signal(exec, SIGTERM);
  loop_timer(exec->kill_after_ms, kill_late, exec);
}

static void close_launch(struct exec *exec) {
  if (!exec->launching) return;
  loop_remove(&exec->launch);
  close(exec->launch.fd);
  exec->launching = false;
}

void exec_remove(struct exec *exec) {
  exec_signal(exec, SIGKILL);
  loop_cancel_all(exec);
  drop_input(exec);
  close_launch(exec);
  for (int i = 0; i < 2; i++) {
    output_close(&exec->outputs[i]);
    ring_free(&exec->outputs[i].ring);
  }
  exec->used = false;
  progress(exec);
}

static void learn_launch(struct exec *exec) {
  char text[COMMAND_FAILURE_BYTES];
  ssize_t length = read(exec->launch.fd, text, sizeof text - 1);
  if (length < 0 && errno == EAGAIN) return;
  close_launch(exec);
  if (length > 1) {
    text[length] = '\0';
    exec->failure_status = (unsigned char)text[0];
    snprintf(exec->failure, sizeof exec->failure, "%s", text + 1);
  }
  if (on_launch != NULL) on_launch(exec);
  if (exec->failure[0] != '\0') exec_remove(exec);
}

static void on_launch_report(void *context, uint32_t events) {
  (void)events;
  learn_launch(context);
}

void exec_child_ended(pid_t pid, int status) {
  struct exec *exec = NULL;
  for (int i = 0; i < EXECS_MAX; i++) {
    if (execs[i].used && execs[i].pid == pid) exec = &execs[i];
  }
  if (exec == NULL) return;
  // Kills what it left in its group. Its process id may be reused from now on.
  kill(-pid, SIGKILL);
  exec->pid = 0;
  if (WIFEXITED(status)) exec->exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) exec->exit_signal = WTERMSIG(status);
  format_time(exec->ended_at, sizeof exec->ended_at);
  loop_cancel(time_is_over, exec);
  loop_cancel(kill_late, exec);
  if (exec->launching) learn_launch(exec);
  if (!exec->used) return;
  drop_input(exec);
  for (int i = 0; i < 2; i++) output_keep_rest(&exec->outputs[i], exec->tty);
  exec_resume(exec);
  progress(exec);
}

// ---- start

static void watch_output(struct exec *exec, int index, int fd) {
  if (fd < 0) return;
  set_nonblocking(fd);
  exec->outputs[index].open = true;
  loop_add(&exec->outputs[index].source, fd, EPOLLIN, index == 0 ? on_stdout : on_stderr, exec);
}

static void watch(struct exec *exec, const struct ends *ends) {
  watch_output(exec, 0, ends->outputs[0]);
  watch_output(exec, 1, ends->outputs[1]);
  exec->input_open = exec->tty || ends->input >= 0;
  if (exec->tty) {
    exec->input.fd = ends->outputs[0];
  } else if (exec->input_open) {
    set_nonblocking(ends->input);
    // Errors only, until something is written: then the program has closed its end.
    loop_add(&exec->input, ends->input, EPOLLERR, on_input, exec);
  }
  exec->launching = true;
  set_nonblocking(ends->launch);
  loop_add(&exec->launch, ends->launch, EPOLLIN, on_launch_report, exec);
}

enum exec_refusal exec_start(struct command *command, struct exec **started) {
  struct exec *exec = take_place();
  struct ends ends;
  if (exec == NULL) return EXEC_TOO_MANY;
  memset(exec, 0, sizeof *exec);
  size_t limit = ring_bytes_max() / OUTPUT_SHARE;
  if (command->output_bytes_max < limit) limit = command->output_bytes_max;
  bool has_room = ring_init(&exec->outputs[0].ring, limit) && ring_init(&exec->outputs[1].ring, limit);
  bool is_open = ends_open(&ends, command);
  pid_t pid = has_room && is_open ? fork() : -1;
  if (pid == 0) command_become(command, &ends.child);
  ends_close_child(&ends);
  if (pid < 0) {
    ends_close(&ends);
    for (int i = 0; i < 2; i++) ring_free(&exec->outputs[i].ring);
    return EXEC_NO_RESOURCES;
  }
  exec->used = true;
  exec->pid = pid;
  exec->number = ++next_number;
  exec->exit_code = exec->exit_signal = -1;
  exec->tty = command->tty;
  exec->takes_input = command->takes_input;
  exec->kill_after_ms = command->kill_after_ms;
  snprintf(exec->id, sizeof exec->id, "%s", command->id);
  snprintf(exec->user, sizeof exec->user, "%s", command->user != NULL ? command->user : "root");
  command_describe(command, exec->command, sizeof exec->command);
  format_time(exec->started_at, sizeof exec->started_at);
  watch(exec, &ends);
  if (command->timeout_ms > 0) loop_timer(command->timeout_ms, time_is_over, exec);
  *started = exec;
  return EXEC_STARTED;
}

// ---- the guest

static bool is_group_of_exec(pid_t group) {
  for (int i = 0; i < EXECS_MAX; i++) {
    if (execs[i].used && execs[i].pid == group) return true;
  }
  return false;
}

static void end_all(bool is_last) {
  for (int i = 0; i < EXECS_MAX; i++) {
    if (execs[i].used) exec_signal(&execs[i], is_last ? SIGKILL : SIGTERM);
  }
}

void exec_begin(void) {
  ring_begin();
  launch_know_group(is_group_of_exec);
  power_before_end(end_all);
}
