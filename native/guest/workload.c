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
#define LINE_BYTES_MAX 1024
#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000
// After so long without an end the next back-off begins at its minimum again.
#define STABLE_MS 60000
#define CONSOLE_RETRY_MS 20
#define PIPE_BYTES 65536
#define CHECK_FAST_MS 100
#define CHECK_START_MS 1000
#define CHECK_SLOW_MS 5000
#define START_BUDGET_MS 120000

enum state { NONE, WAITING, STARTING, RUNNING, BACKOFF, FAILED, STOPPED };
static const char *const state_names[] = {"none",    "waiting", "starting", "running",
                                          "backoff", "failed",  "stopped"};

// One of stdout and stderr, cut into lines.
struct output {
  struct source source;
  const char *name;
  bool open;
  size_t length;
  char line[LINE_BYTES_MAX + 1];
};

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

static struct output outputs[2] = {{.name = "stdout"}, {.name = "stderr"}};

// -1 until the first check has ended.
static int healthy = -1;

static void start(void *context);
static void check_health(void *context);

// ---- output

// A line that is too long is cut for the log; the console gets it as it is.
static void end_line(struct output *output, bool whole) {
  log_append(output->name, output->line, output->length);
  if (whole) output->line[output->length++] = '\n';
  console_write(output->line, output->length);
  output->length = 0;
}

static void take_text(struct output *output, const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (text[i] == '\n') {
      end_line(output, true);
      continue;
    }
    if (output->length == LINE_BYTES_MAX) end_line(output, false);
    output->line[output->length++] = text[i];
  }
  http_log_grew();
}

static void close_output(struct output *output) {
  if (!output->open) return;
  if (output->length > 0) end_line(output, true);
  loop_remove(&output->source);
  close(output->source.fd);
  output->open = false;
}

static void resume_output(void *context) {
  struct output *output = context;
  if (!output->open) return;
  if (console_has_room()) loop_change(&output->source, EPOLLIN);
  else loop_timer(CONSOLE_RETRY_MS, resume_output, output);
}

static void on_output(void *context, uint32_t events) {
  struct output *output = context;
  char text[4096];
  (void)events;
  // A slow console holds the workload back, as a terminal would: no line is lost.
  if (!console_has_room()) {
    loop_change(&output->source, 0);
    loop_timer(CONSOLE_RETRY_MS, resume_output, output);
    return;
  }
  ssize_t count = read(output->source.fd, text, sizeof text);
  if (count > 0) take_text(output, text, (size_t)count);
  else if (count == 0 || errno != EAGAIN) close_output(output);
}

static void open_output(struct output *output, int fd) {
  close_output(output);
  set_nonblocking(fd);
  output->length = 0;
  output->open = true;
  loop_add(&output->source, fd, EPOLLIN, on_output, output);
}

// ---- manifest

void workload_fail(const char *why) {
  workload.state = FAILED;
  snprintf(workload.last_exit, sizeof workload.last_exit, "%s", why);
  say("workload: %s", why);
}

void workload_wait_for_manifest(void) {
  workload.state = WAITING;
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

bool workload_set_manifest(const char *json_text_of_manifest) {
  if (workload.manifest != NULL) return false;
  struct json *manifest = json_parse(json_text_of_manifest);
  const struct json *section = json_member(manifest, "workload");
  if (section == NULL) {
    workload_fail("the manifest is not JSON with a workload");
    json_free(manifest);
    return true;
  }
  workload.manifest = manifest;
  if (!take_arguments(json_member(section, "entrypoint"))) {
    workload_fail("the manifest has no usable entrypoint");
    return true;
  }
  if (!take_base_url(json_text(section, "base_url", NULL))) {
    workload_fail("base_url must be http:// and an IPv4 address or localhost");
    return true;
  }
  if (!take_variables(json_member(section, "env"))) {
    workload_fail("the manifest has too many variables");
    return true;
  }
  start(NULL);
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
  open_output(&outputs[0], out[0]);
  open_output(&outputs[1], err[0]);
  workload.pid = pid;
  workload.state = STARTING;
  workload.started_ms = now_ms();
  healthy = -1;
  loop_timer(0, check_health, NULL);
}

// Its last words, before its end is told. At most what a pipe holds: others may still write to it.
static void read_rest(struct output *output) {
  char text[4096];
  for (int i = 0; i < PIPE_BYTES / (int)sizeof text && output->open; i++) {
    ssize_t count = read(output->source.fd, text, sizeof text);
    if (count <= 0) return;
    take_text(output, text, (size_t)count);
  }
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
  for (int i = 0; i < 2; i++) read_rest(&outputs[i]);
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

static void check_ended(bool success) {
  if (workload.pid <= 0) return;
  int64_t age_ms = now_ms() - workload.started_ms;
  if (success) {
    healthy = 1;
    workload.state = RUNNING;
  } else if (workload.state == RUNNING || age_ms > start_budget_ms()) {
    healthy = 0;
  }
  int pause_ms = success || workload.state == RUNNING ? CHECK_SLOW_MS
                 : age_ms < 5000                      ? CHECK_FAST_MS
                                                      : CHECK_START_MS;
  loop_timer(pause_ms, check_health, NULL);
}

static void check_health(void *context) {
  (void)context;
  if (workload.pid <= 0) return;
  if (endpoint()[0] == '\0') {
    workload.state = RUNNING;
    return;
  }
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
