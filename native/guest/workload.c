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
#define CHECK_SLOW_MS 5000
#define START_BUDGET_MS 120000
#define REASON_BYTES 224

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
  // What a person must know of its ends, until it has run for STABLE_MS.
  char reason[REASON_BYTES];
  timer_callback stop_done;
} workload = {.program.endpoint = "", .backoff_ms = BACKOFF_MIN_MS, .execution.fd = -1};

// -1 until the first check has ended.
static int healthy = -1;
// It failed before a manifest could say anything.
static bool given_up;

static void start(void *context);
static void check_health(void *context);

// ---- manifest

void workload_fail(const char *why) {
  workload.state = FAILED;
  snprintf(workload.last_exit, sizeof workload.last_exit, "%s", why);
  say("workload: %s", why);
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
  if (workload.program.endpoint_is_wrong) {
    say("health_check.endpoint must be a path that begins with /: the workload is never healthy");
  }
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
  healthy = -1;
  set_nonblocking(pipes[2][0]);
  loop_add(&workload.execution, pipes[2][0], EPOLLIN, on_execution, NULL);
}

static void describe_exit(int status) {
  if (workload.launch_failure[0] != '\0') {
    snprintf(workload.last_exit, sizeof workload.last_exit, "%s", workload.launch_failure);
  } else if (WIFSIGNALED(status)) {
    snprintf(workload.last_exit, sizeof workload.last_exit, "killed by signal %d", WTERMSIG(status));
  } else {
    snprintf(workload.last_exit, sizeof workload.last_exit, "exit status %d", WEXITSTATUS(status));
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
  outputs_read_rest();
  // It may have been too quick for the loop.
  if (workload.execution.fd >= 0) on_execution(NULL, 0);
  if (workload.execution.fd >= 0) execution_is_known();
  workload.pid = 0;
  healthy = 0;
  describe_exit(status);
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

static int start_budget_ms(void) {
  const struct json *member =
      json_member(json_member(workload.manifest, "health_check"), "timeout_ms");
  bool given = member != NULL && member->type == JSON_NUMBER && member->number >= 1;
  return given && member->number < 1e9 ? (int)member->number : START_BUDGET_MS;
}

static bool is_there(void) {
  return workload.pid > 0 || workload.state == EXTERNAL;
}

static void check_ended(bool success) {
  if (!is_there()) return;
  int64_t age_ms = now_ms() - workload.started_ms;
  if (success) {
    healthy = 1;
    if (workload.state != EXTERNAL) workload.state = RUNNING;
  } else if (workload.state == RUNNING || healthy == 1 || age_ms > start_budget_ms()) {
    healthy = 0;
  }
  int pause_ms = success || workload.state == RUNNING ? CHECK_SLOW_MS
                 : age_ms < 5000                      ? CHECK_FAST_MS
                                                      : CHECK_START_MS;
  loop_timer(pause_ms, check_health, NULL);
}

static void check_health(void *context) {
  (void)context;
  if (!is_there()) return;
  const struct program *program = &workload.program;
  if (program->endpoint_is_wrong) healthy = 0;
  if (program->endpoint[0] == '\0') {
    if (workload.state != EXTERNAL) workload.state = RUNNING;
    return;
  }
  // Without an address there is nothing to ask; only what an own init runs may have none.
  if (program->port == 0) return;
  health_probe(program->host, program->port, program->prefix, program->endpoint, check_ended);
}

// Empty when there is nothing that a person must know.
static const char *reason(void) {
  if (workload.state == FAILED) return workload.last_exit;
  if (workload.program.endpoint_is_wrong) {
    return "health_check.endpoint must be a path that begins with /: it is never asked";
  }
  bool is_stable = workload.pid > 0 && now_ms() - workload.started_ms > STABLE_MS;
  return is_stable ? "" : workload.reason;
}

size_t workload_describe(char *buffer, size_t size) {
  char last[2 * LAUNCH_FAILURE_BYTES], why[2 * REASON_BYTES];
  json_escape(last, sizeof last, 0, workload.last_exit, strlen(workload.last_exit));
  json_escape(why, sizeof why, 0, reason(), strlen(reason()));
  int length = snprintf(buffer, size,
                        "{\"state\":\"%s\",\"pid\":%d,\"restarts\":%u,\"healthy\":%s,\"last_exit\":\"%s\","
                        "\"reason\":\"%s\"}",
                        state_names[workload.state], workload.pid, workload.restarts,
                        healthy < 0 ? "null" : healthy ? "true" : "false", last, why);
  return length < (int)size ? (size_t)length : size - 1;
}
