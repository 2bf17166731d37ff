// guest: the program that the guest exists for: started, listened to, restarted, health-checked.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

#define ARGUMENTS_MAX 256
#define VARIABLES_MAX 512
#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000
// After so long without an end the next back-off begins at its minimum again.
#define STABLE_MS 60000
#define CHECK_FAST_MS 100
#define CHECK_START_MS 1000
#define CHECK_SLOW_MS 5000
#define START_BUDGET_MS 120000

enum state { NONE, WAITING, STARTING, RUNNING, BACKOFF, FAILED, STOPPED, EXTERNAL };
static const char *const state_names[] = {"none",    "waiting", "starting", "running",
                                          "backoff", "failed",  "stopped",  "external"};

static struct {
  enum state state;
  struct json *manifest;
  char *arguments[ARGUMENTS_MAX + 1];
  char *variables[VARIABLES_MAX + 1];
  char host[64];
  char prefix[256];
  uint16_t port;
  pid_t pid;
  int64_t started_ms;
  unsigned restarts;
  int backoff_ms;
  char last_exit[128];
  timer_callback stop_done;
} workload = {.backoff_ms = BACKOFF_MIN_MS};

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

static bool take_arguments(const struct json *entrypoint) {
  size_t count = 0;
  if (entrypoint == NULL || entrypoint->type != JSON_ARRAY) return false;
  for (const struct json *item = entrypoint->child; item != NULL; item = item->next) {
    if (item->type != JSON_STRING || count == ARGUMENTS_MAX) return false;
    workload.arguments[count++] = item->string;
  }
  return count > 0;
}

static bool add_variable(size_t *count, const char *name, const char *value) {
  size_t size = strlen(name) + strlen(value) + 2;
  char *text = *count < VARIABLES_MAX ? malloc(size) : NULL;
  if (text == NULL) return false;
  snprintf(text, size, "%s=%s", name, value);
  workload.variables[(*count)++] = text;
  return true;
}

// false when there are too many.
static bool take_variables(const struct json *env) {
  size_t count = 0;
  const char *standard = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  if (json_text(env, "PATH", NULL) == NULL) add_variable(&count, "PATH", standard);
  if (json_text(env, "HOME", NULL) == NULL) add_variable(&count, "HOME", "/root");
  if (json_text(env, "TERM", NULL) == NULL) add_variable(&count, "TERM", "linux");
  if (env == NULL || env->type != JSON_OBJECT) return true;
  for (const struct json *item = env->child; item != NULL; item = item->next) {
    if (item->type == JSON_STRING && !add_variable(&count, item->name, item->string)) return false;
  }
  return true;
}

// http://host[:port][/prefix]; the host is an address of this guest or localhost.
static bool take_base_url(const char *url) {
  if (url == NULL || strncmp(url, "http://", 7) != 0) return false;
  char rest[320];
  snprintf(rest, sizeof rest, "%s", url + 7);
  char *slash = strchr(rest, '/');
  if (slash != NULL) {
    snprintf(workload.prefix, sizeof workload.prefix, "%.255s", slash);
    size_t length = strlen(workload.prefix);
    if (length > 0 && workload.prefix[length - 1] == '/') workload.prefix[length - 1] = '\0';
    *slash = '\0';
  }
  char *colon = strchr(rest, ':');
  long port = 80;
  if (colon != NULL) {
    *colon = '\0';
    port = strtol(colon + 1, NULL, 10);
  }
  struct in_addr parsed;
  if (strcmp(rest, "localhost") == 0) snprintf(rest, sizeof rest, "127.0.0.1");
  if (port < 1 || port > 65535 || inet_pton(AF_INET, rest, &parsed) != 1) return false;
  snprintf(workload.host, sizeof workload.host, "%.63s", rest);
  workload.port = (uint16_t)port;
  return true;
}

static void disks_are_mounted(const char *why) {
  // The guest may have been told to power off in the meantime.
  if (workload.state == STOPPED) return;
  if (why != NULL) return workload_fail(why);
  if (workload.state == STARTING) return start(NULL);
  workload.started_ms = now_ms();
  loop_timer(0, check_health, NULL);
}

// What an own init runs needs no manifest; when there is one it says where requests go.
static void take_external(const struct json *section) {
  const char *url = json_text(section, "base_url", NULL);
  if (url != NULL && !take_base_url(url)) say("base_url %.100s cannot be used", url);
}

// NULL when the workload can be started, else what is wrong.
static const char *take_workload(const struct json *section) {
  if (!take_arguments(json_member(section, "entrypoint"))) return "the manifest has no usable entrypoint";
  if (!take_base_url(json_text(section, "base_url", NULL))) {
    return "base_url must be http:// and an IPv4 address or localhost";
  }
  return take_variables(json_member(section, "env")) ? NULL : "the manifest has too many variables";
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
  if (external) take_external(section);
  else wrong = take_workload(section);
  if (wrong != NULL) {
    workload_fail(wrong);
    return true;
  }
  if (!external) workload.state = STARTING;
  disks_mount(json_member(manifest, "mounts"), disks_are_mounted);
  return true;
}

bool workload_address(const char **host, uint16_t *port, const char **prefix) {
  *host = workload.host;
  *port = workload.port;
  *prefix = workload.prefix;
  return workload.port != 0;
}

// ---- life

static void run_child(const int *out, const int *err) {
  const char *directory = json_text(json_member(workload.manifest, "workload"), "workdir", "/");
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  setsid();
  int input = open("/dev/null", O_RDONLY);
  dup2(input, 0);
  dup2(out[1], 1);
  dup2(err[1], 2);
  if (chdir(directory) < 0) {
    dprintf(2, "volant-agent: cannot enter %s: %s\n", directory, strerror(errno));
    _exit(126);
  }
  environ = workload.variables;
  execvp(workload.arguments[0], workload.arguments);
  dprintf(2, "volant-agent: cannot execute %s: %s\n", workload.arguments[0], strerror(errno));
  _exit(127);
}

static void start(void *context) {
  (void)context;
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) < 0) return workload_fail("no pipe for its output");
  if (pipe2(err, O_CLOEXEC) < 0) {
    close(out[0]);
    close(out[1]);
    return workload_fail("no pipe for its output");
  }
  pid_t pid = fork();
  if (pid == 0) run_child(out, err);
  close(out[1]);
  close(err[1]);
  if (pid < 0) {
    close(out[0]);
    close(err[0]);
    return workload_fail("it cannot be forked");
  }
  outputs_open(out[0], err[0]);
  workload.pid = pid;
  workload.state = STARTING;
  workload.started_ms = now_ms();
  healthy = -1;
  loop_timer(0, check_health, NULL);
}

static void describe_exit(int status) {
  if (WIFSIGNALED(status)) {
    snprintf(workload.last_exit, sizeof workload.last_exit, "killed by signal %d", WTERMSIG(status));
  } else {
    snprintf(workload.last_exit, sizeof workload.last_exit, "exit status %d", WEXITSTATUS(status));
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
  workload.pid = 0;
  healthy = 0;
  describe_exit(status);
  if (workload.stop_done != NULL || workload.state == STOPPED) return finish_stop();
  if (now_ms() - workload.started_ms > STABLE_MS) workload.backoff_ms = BACKOFF_MIN_MS;
  say("workload ended (%s), starting it again in %d ms", workload.last_exit, workload.backoff_ms);
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

static const char *endpoint(void) {
  return json_text(json_member(workload.manifest, "health_check"), "endpoint", "");
}

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
  if (endpoint()[0] == '\0') {
    if (workload.state != EXTERNAL) workload.state = RUNNING;
    return;
  }
  // Without an address there is nothing to ask; only what an own init runs may have none.
  if (workload.port == 0) return;
  health_probe(workload.host, workload.port, workload.prefix, endpoint(), check_ended);
}

size_t workload_describe(char *buffer, size_t size) {
  char last[256];
  json_escape(last, sizeof last, 0, workload.last_exit, strlen(workload.last_exit));
  int length = snprintf(
      buffer, size, "{\"state\":\"%s\",\"pid\":%d,\"restarts\":%u,\"healthy\":%s,\"last_exit\":\"%s\"}",
      state_names[workload.state], workload.pid, workload.restarts,
      healthy < 0 ? "null" : healthy ? "true" : "false", last);
  return length < (int)size ? (size_t)length : size - 1;
}
