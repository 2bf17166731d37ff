// guest: the program that the guest exists for: started, listened to, restarted, health-checked.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000
// After so long without an end the next back-off begins at its minimum again.
#define STABLE_MS 60000
#define CHECK_FAST_MS 100
#define CHECK_START_MS 1000
#define CHECK_FAST_EXEC_MS 500
#define CHECK_FAST_FOR_MS 5000
#define REASON_BYTES 224
// Of changes that come together one is told.
#define NEWS_MS 100

enum state { NONE, WAITING, STARTING, RUNNING, BACKOFF, FAILED, STOPPED, EXTERNAL };
static const char *const state_names[] = {"none",    "waiting", "starting", "running",
                                          "backoff", "failed",  "stopped",  "external"};

static struct {
  enum state state;
  struct json *manifest;
  struct program program;
  pid_t pid;
  int64_t started_ms;
  unsigned restarts;
  int backoff_ms;
  // Until it is known whether the program could be executed.
  struct source execution;
  char launch_failure[LAUNCH_FAILURE_BYTES];
  char last_exit[LAUNCH_FAILURE_BYTES];
  // Of its last end; -1 where it ended otherwise, or not yet.
  int exit_code, exit_signal;
  // Of its lines: the first one of this start, the first one of the start that ended last, and the end of those.
  uint64_t first_line, ended_first_line, end_line;
  unsigned long memory_kills;
  // What a person must know of its ends, until it has run for STABLE_MS.
  char reason[REASON_BYTES];
  timer_callback stop_done;
} workload = {.backoff_ms = BACKOFF_MIN_MS, .execution.fd = -1, .exit_code = -1, .exit_signal = -1};

// -1 until the first check has ended.
static int healthy = -1;
// In a row, and why the last of them did.
static int failed_checks;
static char check_failure[HEALTH_FAILURE_BYTES];
static bool has_news;
// It failed before a manifest could say anything.
static bool given_up;

static void start(void *context);
static void check_health(void *context);

// ---- news

static void tell_news(void *context) {
  (void)context;
  has_news = false;
  channel_tell_news();
}

static void changed(void) {
  if (!has_news) loop_timer(NEWS_MS, tell_news, NULL);
  has_news = true;
}

// What was to be known of earlier ends is so no more.
static void is_stable_now(void *context) {
  (void)context;
  changed();
}

// ---- manifest

void workload_fail(const char *why) {
  workload.state = FAILED;
  snprintf(workload.last_exit, sizeof workload.last_exit, "%s", why);
  say("workload: %s", why);
  changed();
}

void workload_give_up(const char *why) {
  given_up = true;
  workload_fail(why);
}

void workload_set_external(void) {
  workload.state = EXTERNAL;
}

void workload_wait_for_manifest(void) {
  if (workload.state == NONE) workload.state = WAITING;
}

static void disks_are_mounted(const char *why) {
  // The guest may have been told to power off in the meantime.
  if (workload.state == STOPPED) return;
  if (why != NULL) return workload_fail(why);
  if (workload.state == STARTING) return start(NULL);
  workload.started_ms = now_ms();
  loop_timer(0, check_health, NULL);
}

bool workload_set_manifest(const char *json_text_of_manifest) {
  if (workload.manifest != NULL) return false;
  // Taken and left alone: what has failed already is what a person must know.
  if (given_up) return true;
  struct json *manifest = json_parse(json_text_of_manifest);
  const struct json *section = json_member(manifest, "workload");
  bool external = workload.state == EXTERNAL;
  if (manifest == NULL || (section == NULL && !external)) {
    workload_fail("the manifest is not JSON with a workload");
    json_free(manifest);
    return true;
  }
  workload.manifest = manifest;
  const char *wrong = NULL;
  if (!external) {
    wrong = program_take(&workload.program, manifest);
  } else if (!program_take_address(&workload.program, manifest)) {
    // What an own init runs needs no manifest; when there is one it says where requests go.
    say("base_url %.100s cannot be used", json_text(section, "base_url", "(none)"));
  }
  if (wrong != NULL) {
    workload_fail(wrong);
    return true;
  }
  if (workload.program.check.wrong != NULL) say("%s, and the workload is never healthy", workload.program.check.wrong);
  if (!external) workload.state = STARTING;
  disks_mount(json_member(manifest, "mounts"), disks_are_mounted);
  return true;
}

bool workload_address(const char **host, uint16_t *port, const char **prefix) {
  *host = workload.program.host;
  *port = workload.program.port;
  *prefix = workload.program.prefix;
  return workload.program.port != 0;
}

// ---- life

static void execution_is_known(void) {
  loop_remove(&workload.execution);
  close(workload.execution.fd);
  workload.execution.fd = -1;
}

// The other end is closed when the program is executed, or says why it cannot be.
static void on_execution(void *context, uint32_t events) {
  (void)context;
  (void)events;
  char *failure = workload.launch_failure;
  ssize_t length = read(workload.execution.fd, failure, LAUNCH_FAILURE_BYTES - 1);
  if (length < 0 && errno == EAGAIN) return;
  failure[length > 0 ? length : 0] = '\0';
  execution_is_known();
  if (failure[0] == '\0') check_health(NULL);
}

static bool open_pipes(int pipes[3][2]) {
  for (int i = 0; i < 3; i++) {
    if (pipe2(pipes[i], O_CLOEXEC) == 0) continue;
    while (i-- > 0) {
      close(pipes[i][0]);
      close(pipes[i][1]);
    }
    return false;
  }
  return true;
}

static void start(void *context) {
  (void)context;
  // What it prints, and whether it was executed.
  int pipes[3][2];
  if (!open_pipes(pipes)) return workload_fail("no pipe for its output");
  pid_t pid = fork();
  if (pid == 0) launch_child(&workload.program, pipes[0][1], pipes[1][1], pipes[2][1]);
  for (int i = 0; i < 3; i++) close(pipes[i][1]);
  if (pid < 0) {
    for (int i = 0; i < 3; i++) close(pipes[i][0]);
    return workload_fail("it cannot be forked");
  }
  outputs_open(pipes[0][0], pipes[1][0]);
  workload.pid = pid;
  workload.state = STARTING;
  workload.started_ms = now_ms();
  workload.launch_failure[0] = '\0';
  workload.first_line = log_next();
  workload.memory_kills = launch_memory_kills();
  healthy = -1;
  failed_checks = 0;
  check_failure[0] = '\0';
  loop_timer(STABLE_MS + NEWS_MS, is_stable_now, NULL);
  changed();
  set_nonblocking(pipes[2][0]);
  loop_add(&workload.execution, pipes[2][0], EPOLLIN, on_execution, NULL);
}

static void describe_exit(int status) {
  workload.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  workload.exit_signal = WIFSIGNALED(status) ? WTERMSIG(status) : -1;
  if (workload.launch_failure[0] != '\0') {
    snprintf(workload.last_exit, sizeof workload.last_exit, "%s", workload.launch_failure);
  } else if (WIFSIGNALED(status)) {
    snprintf(workload.last_exit, sizeof workload.last_exit, "killed by signal %d", WTERMSIG(status));
  } else {
    snprintf(workload.last_exit, sizeof workload.last_exit, "exit status %d", WEXITSTATUS(status));
  }
  if (launch_memory_kills() > workload.memory_kills) {
    size_t length = strlen(workload.last_exit);
    snprintf(workload.last_exit + length, sizeof workload.last_exit - length, ": the guest ran out of memory");
  }
}

static void explain_end(pid_t pid, int status) {
  unsigned left = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? launch_left_behind(pid) : 0;
  if (left > 0) {
    snprintf(workload.reason, sizeof workload.reason,
             "the entrypoint ended with status 0 and left %u processes in the background: it must stay in "
             "the foreground, or it is started again and again", left);
  } else {
    snprintf(workload.reason, sizeof workload.reason, "the entrypoint ended: %s", workload.last_exit);
  }
}

static void finish_stop(void) {
  timer_callback done = workload.stop_done;
  workload.stop_done = NULL;
  workload.state = STOPPED;
  if (done != NULL) done(NULL);
}

void workload_child_ended(pid_t pid, int status) {
  if (pid != workload.pid) return;
  // What it left behind in its own session goes with it.
  kill(-pid, SIGKILL);
  health_abandon();
  loop_cancel(check_health, NULL);
  loop_cancel(is_stable_now, NULL);
  outputs_read_rest();
  workload.ended_first_line = workload.first_line;
  workload.end_line = log_next();
  // It may have been too quick for the loop.
  if (workload.execution.fd >= 0) on_execution(NULL, 0);
  if (workload.execution.fd >= 0) execution_is_known();
  workload.pid = 0;
  healthy = 0;
  check_failure[0] = '\0';
  describe_exit(status);
  changed();
  if (workload.stop_done != NULL || workload.state == STOPPED) return finish_stop();
  if (now_ms() - workload.started_ms > STABLE_MS) workload.backoff_ms = BACKOFF_MIN_MS;
  say("workload ended (%s), starting it again in %d ms", workload.last_exit, workload.backoff_ms);
  explain_end(pid, status);
  workload.state = BACKOFF;
  workload.restarts++;
  loop_timer(workload.backoff_ms, start, NULL);
  workload.backoff_ms *= 2;
  if (workload.backoff_ms > BACKOFF_MAX_MS) workload.backoff_ms = BACKOFF_MAX_MS;
}

static void stop_late(void *context) {
  (void)context;
  if (workload.pid > 0 && kill(-workload.pid, SIGKILL) < 0) kill(workload.pid, SIGKILL);
  finish_stop();
}

void workload_stop(int timeout_ms, timer_callback done) {
  loop_cancel(start, NULL);
  workload.stop_done = done;
  if (workload.pid <= 0) return finish_stop();
  // Just forked, it may not lead its group yet.
  if (kill(-workload.pid, SIGTERM) < 0) kill(workload.pid, SIGTERM);
  loop_timer(timeout_ms, stop_late, NULL);
}

void workload_stop_within(int timeout_ms) {
  if (workload.stop_done != NULL) loop_timer(timeout_ms, stop_late, NULL);
}

// ---- health

static bool is_there(void) {
  return workload.pid > 0 || workload.state == EXTERNAL;
}

static int pause_after(bool success, int64_t age_ms) {
  const struct check *check = &workload.program.check;
  // Where it is not known when it will listen, it is looked for until it did once.
  bool comes_up = check->type == CHECK_LISTEN ? healthy < 0 && age_ms < check->start_ms : workload.state != RUNNING;
  if (success || !comes_up) return check->interval_ms;
  int pause_ms = age_ms >= CHECK_FAST_FOR_MS ? CHECK_START_MS
                 : check->type == CHECK_EXEC ? CHECK_FAST_EXEC_MS
                                             : CHECK_FAST_MS;
  return pause_ms < check->interval_ms ? pause_ms : check->interval_ms;
}

static void take_success(void) {
  healthy = 1;
  failed_checks = 0;
  check_failure[0] = '\0';
  if (workload.state != EXTERNAL) workload.state = RUNNING;
}

static void take_failure(const char *failure, int64_t age_ms) {
  const struct check *check = &workload.program.check;
  bool had_time = workload.state == RUNNING || age_ms > check->start_ms;
  // A port that has never listened may be none that is served.
  if (check->type == CHECK_LISTEN) had_time = false;
  snprintf(check_failure, sizeof check_failure, "%s", failure);
  if (++failed_checks >= check->retries && (healthy == 1 || had_time)) healthy = 0;
}

static void check_ended(const char *failure) {
  if (!is_there()) return;
  int64_t age_ms = now_ms() - workload.started_ms;
  int healthy_before = healthy;
  bool is_same = strcmp(failure == NULL ? "" : failure, check_failure) == 0;
  if (failure == NULL) take_success();
  else take_failure(failure, age_ms);
  if (!is_same || healthy != healthy_before) changed();
  loop_timer(pause_after(failure == NULL, age_ms), check_health, NULL);
}

static void check_health(void *context) {
  (void)context;
  if (!is_there()) return;
  const struct check *check = &workload.program.check;
  if (check->wrong != NULL) {
    healthy = 0;
    changed();
  }
  bool is_told = check->type == CHECK_HTTP || check->type == CHECK_TCP || check->type == CHECK_EXEC;
  if ((!is_told || check->wrong != NULL) && workload.state != EXTERNAL) {
    if (workload.state != RUNNING) changed();
    workload.state = RUNNING;
  }
  if (check->type == CHECK_NONE || check->wrong != NULL) return;
  // Without an address there is nothing to ask; only what an own init runs may have none.
  if (check->port == 0 && check->type != CHECK_EXEC) return;
  health_probe(&workload.program, check_ended);
}

// ---- what is told

// Empty when there is nothing that a person must know.
static const char *reason(void) {
  if (workload.state == FAILED) return workload.last_exit;
  if (workload.program.check.wrong != NULL) return workload.program.check.wrong;
  bool is_stable = workload.pid > 0 && now_ms() - workload.started_ms > STABLE_MS;
  return is_stable ? "" : workload.reason;
}

// The longest texts, escaped, fit into WORKLOAD_BYTES_MAX.
size_t workload_describe(char *buffer, size_t size) {
  const char *why = reason();
  size_t length = (size_t)snprintf(buffer, size,
                                   "{\"state\":\"%s\",\"pid\":%d,\"restarts\":%u,\"healthy\":%s,\"check\":\"%s\"",
                                   state_names[workload.state], workload.pid, workload.restarts,
                                   healthy < 0 ? "null" : healthy ? "true" : "false",
                                   check_names[workload.program.check.type]);
  length = report_text(buffer, size, length, "check_failure", check_failure);
  length = report_text(buffer, size, length, "last_exit", workload.last_exit);
  length = report_number(buffer, size, length, "exit_code", workload.exit_code);
  length = report_number(buffer, size, length, "exit_signal", workload.exit_signal);
  length = report_text(buffer, size, length, "reason", why);
  if (why[0] != '\0') length = report_lines(buffer, size, length, workload.ended_first_line, workload.end_line);
  return length + (size_t)snprintf(buffer + length, size - length, "}");
}
