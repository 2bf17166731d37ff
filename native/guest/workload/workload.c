// guest: the life of the program that the guest exists for: start, restarts, health checks, stop, and its description.
#include "workload/workload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/files.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/say.h"
#include "system/disks.h"
#include "workload/check.h"
#include "workload/end.h"
#include "workload/health.h"
#include "workload/launch.h"
#include "workload/log_ring.h"
#include "workload/manifest.h"
#include "workload/output.h"
#include "workload/report.h"

#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000
// A workload that has run for this time is stable: the next back-off begins at its minimum.
#define STABLE_MS 60000
#define CHECK_FAST_MS 100
#define CHECK_START_MS 1000
#define CHECK_FAST_EXEC_MS 500
#define CHECK_FAST_FOR_MS 5000
#define REASON_BYTES 224
// Changes within this time are reported together.
#define CHANGE_MS 100

// NONE: there is no manifest, or one that wants no program.
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
  // Watched until it is known whether the program could be executed.
  struct source execution;
  char launch_failure[LAUNCH_FAILURE_BYTES];
  struct end last;
  // Numbers of log lines: the first one of this start, the first one of the last start that ended, and the end of those.
  uint64_t first_line, ended_first_line, end_line;
  unsigned long memory_kills;
  // Why it ended. Shown until the workload is stable.
  char reason[REASON_BYTES];
  timer_callback stop_done;
} workload = {.backoff_ms = BACKOFF_MIN_MS, .execution.fd = -1, .last = {.exit_code = -1, .exit_signal = -1}};

// -1 until the first check has ended.
static int healthy = -1;
// A check has passed since the start.
static bool has_passed;
// Failed checks in a row, and why the last one failed.
static int failed_checks;
static char check_failure[HEALTH_FAILURE_BYTES];
static bool change_is_due;
static void (*on_change)(void);
static final_end_callback on_final_end;
// It failed before there was a manifest.
static bool given_up;

static void start(void *context);
static void check_health(void *context);

// ---- changes

void workload_on_change(void (*callback)(void)) {
  on_change = callback;
}

void workload_on_final_end(final_end_callback callback) {
  on_final_end = callback;
}

static void announce_change(void *context) {
  (void)context;
  change_is_due = false;
  if (on_change != NULL) on_change();
}

static void changed(void) {
  if (!change_is_due) loop_timer(CHANGE_MS, announce_change, NULL);
  change_is_due = true;
}

// The reason of an earlier end is not shown any more.
static void is_stable_now(void *context) {
  (void)context;
  changed();
}

// ---- manifest

void workload_fail(const char *why) {
  workload.state = FAILED;
  snprintf(workload.last.text, sizeof workload.last.text, "%s", why);
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
  // The guest may be powering off by now.
  if (workload.state == STOPPED) return;
  if (why != NULL) return workload_fail(why);
  if (workload.state == STARTING && !workload.program.is_none) return start(NULL);
  if (workload.state == STARTING) workload.state = NONE;
  workload.started_ms = now_ms();
  changed();
  loop_timer(0, check_health, NULL);
}

bool workload_set_manifest(const char *json_text_of_manifest) {
  if (workload.manifest != NULL) return false;
  // Accepted and ignored: the earlier failure stays visible.
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
    // Programs that an init starts need no manifest. It only says where requests go.
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

// The child's end of the pipe closes when the program is executed, or carries the reason why it cannot be.
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
  // Standard output, standard error, and whether the program was executed.
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
  has_passed = false;
  failed_checks = 0;
  check_failure[0] = '\0';
  loop_timer(STABLE_MS + CHANGE_MS, is_stable_now, NULL);
  changed();
  set_nonblocking(pipes[2][0]);
  loop_add(&workload.execution, pipes[2][0], EPOLLIN, on_execution, NULL);
}

static void finish_stop(void) {
  timer_callback done = workload.stop_done;
  workload.stop_done = NULL;
  workload.state = STOPPED;
  if (done != NULL) done(NULL);
}

void workload_child_ended(pid_t pid, int status) {
  if (pid != workload.pid) return;
  // Kills what it left behind in its process group.
  kill(-pid, SIGKILL);
  health_abandon();
  loop_cancel(check_health, NULL);
  loop_cancel(is_stable_now, NULL);
  outputs_read_rest();
  workload.ended_first_line = workload.first_line;
  workload.end_line = log_next();
  // The process may have ended before the loop delivered this.
  if (workload.execution.fd >= 0) on_execution(NULL, 0);
  if (workload.execution.fd >= 0) execution_is_known();
  workload.pid = 0;
  healthy = 0;
  check_failure[0] = '\0';
  end_describe(&workload.last, status, workload.launch_failure, launch_memory_kills() > workload.memory_kills);
  changed();
  if (workload.stop_done != NULL || workload.state == STOPPED) return finish_stop();
  if (end_is_final(&workload.last, workload.program.restart)) {
    workload.state = STOPPED;
    return on_final_end(workload.last.exit_code, workload.last.exit_signal);
  }
  if (now_ms() - workload.started_ms > STABLE_MS) workload.backoff_ms = BACKOFF_MIN_MS;
  say("workload ended (%s), starting it again in %d ms", workload.last.text, workload.backoff_ms);
  end_explain(&workload.last, pid, health_group(), workload.reason, sizeof workload.reason);
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
  // A process that was just forked may not lead its group yet.
  int signal = workload.program.stop_signal;
  if (kill(-workload.pid, signal) < 0) kill(workload.pid, signal);
  loop_timer(timeout_ms, stop_late, NULL);
}

void workload_stop_within(int timeout_ms) {
  if (workload.stop_done != NULL) loop_timer(timeout_ms, stop_late, NULL);
}

// ---- health

// The agent starts no program. What is checked is started by others.
static bool is_of_others(void) {
  return workload.state == EXTERNAL || workload.state == NONE;
}

static bool is_there(void) {
  return workload.pid > 0 || is_of_others();
}

static int pause_after(bool success, int64_t age_ms) {
  const struct check *check = &workload.program.check;
  // Until the port listens for the first time, it is checked more often.
  bool comes_up = check->type == CHECK_LISTEN ? healthy < 0 && age_ms < check->start_ms : !has_passed;
  if (success || !comes_up) return check->interval_ms;
  int pause_ms = age_ms >= CHECK_FAST_FOR_MS ? CHECK_START_MS
                 : check->type == CHECK_EXEC ? CHECK_FAST_EXEC_MS
                                             : CHECK_FAST_MS;
  return pause_ms < check->interval_ms ? pause_ms : check->interval_ms;
}

static void take_success(void) {
  healthy = 1;
  has_passed = true;
  failed_checks = 0;
  check_failure[0] = '\0';
  if (!is_of_others()) workload.state = RUNNING;
}

static void take_failure(const char *failure, int64_t age_ms) {
  const struct check *check = &workload.program.check;
  bool had_time = has_passed || age_ms > check->start_ms;
  // A port that has never listened may be one that the workload does not serve.
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
  bool is_explicit = check->type == CHECK_HTTP || check->type == CHECK_TCP || check->type == CHECK_EXEC;
  if ((!is_explicit || check->wrong != NULL) && !is_of_others()) {
    if (workload.state != RUNNING) changed();
    workload.state = RUNNING;
  }
  if (check->type == CHECK_NONE || check->wrong != NULL) return;
  // Without a port there is nothing to check. Only what others start may have none.
  if (check->port == 0 && check->type != CHECK_EXEC) return;
  health_probe(&workload.program, check_ended);
}

// ---- description

// Why the workload does not run as it should, or an empty string.
static const char *reason(void) {
  if (workload.state == FAILED) return workload.last.text;
  if (workload.program.check.wrong != NULL) return workload.program.check.wrong;
  bool is_stable = workload.pid > 0 && now_ms() - workload.started_ms > STABLE_MS;
  return is_stable ? "" : workload.reason;
}

// The longest texts with all escapes fit into WORKLOAD_BYTES_MAX.
size_t workload_describe(char *buffer, size_t size) {
  const char *why = reason();
  size_t length = (size_t)snprintf(buffer, size,
                                   "{\"state\":\"%s\",\"pid\":%d,\"restarts\":%u,\"healthy\":%s,\"check\":\"%s\"",
                                   state_names[workload.state], workload.pid, workload.restarts,
                                   healthy < 0 ? "null" : healthy ? "true" : "false",
                                   check_names[workload.program.check.type]);
  length = report_text(buffer, size, length, "check_failure", check_failure);
  length = report_text(buffer, size, length, "last_exit", workload.last.text);
  length = report_number(buffer, size, length, "exit_code", workload.last.exit_code);
  length = report_number(buffer, size, length, "exit_signal", workload.last.exit_signal);
  length = report_text(buffer, size, length, "reason", why);
  if (why[0] != '\0') length = report_lines(buffer, size, length, workload.ended_first_line, workload.end_line);
  return length + (size_t)snprintf(buffer + length, size - length, "}");
}
