// fuzz: the manifest of a workload, as a whole. Nothing is started: its disks never appear.
#include <arpa/inet.h>

#include "workload/workload.c"

#include "fuzz.h"

static const struct json *mounts_asked_for;

void disks_mount(const struct json *mounts, disks_callback done) {
  (void)done;
  mounts_asked_for = mounts;
}

void outputs_open(int out, int err) {
  close(out);
  close(err);
}

void outputs_read_rest(void) {
}

void health_probe(const struct program *program, health_callback done) {
  const struct check *check = &program->check;
  (void)done;
  REQUIRE(strlen(program->host) < sizeof program->host && strlen(program->prefix) < sizeof program->prefix);
  REQUIRE(check->type == CHECK_EXEC || check->port != 0);
  if (check->type == CHECK_HTTP) REQUIRE(check->endpoint[0] == '/');
  if (check->type == CHECK_EXEC) REQUIRE(check->command[0] != NULL && check->command[0][0] != '\0');
  REQUIRE(check->interval_ms >= HEALTH_INTERVAL_MS_MIN && check->interval_ms <= HEALTH_INTERVAL_MS_MAX);
  REQUIRE(check->timeout_ms > 0 && check->timeout_ms <= HEALTH_PROBE_TIMEOUT_MS_MAX);
  REQUIRE(check->retries > 0 && check->retries <= HEALTH_RETRIES_MAX && check->start_ms > 0);
}

void health_abandon(void) {
}

pid_t health_group(void) {
  return 0;
}

void loop_timer(int delay_ms, timer_callback callback, void *context) {
  (void)callback;
  (void)context;
  REQUIRE(delay_ms >= 0);
}

void loop_add(struct source *source, int fd, uint32_t events, fd_callback callback, void *context) {
  (void)source;
  (void)fd;
  (void)events;
  (void)callback;
  (void)context;
}

void loop_remove(struct source *source) {
  (void)source;
}

void loop_cancel(timer_callback callback, void *context) {
  (void)callback;
  (void)context;
}

int64_t now_ms(void) {
  return 0;
}

static void forget_workload(enum state begin) {
  for (char **variable = workload.program.variables; *variable != NULL; variable++) free(*variable);
  json_free(workload.manifest);
  memset(&workload, 0, sizeof workload);
  workload.backoff_ms = BACKOFF_MIN_MS;
  workload.execution.fd = -1;
  workload.state = begin;
}

static void check_workload(void) {
  const char *host, *prefix;
  char text[WORKLOAD_BYTES_MAX];
  uint16_t port;
  struct in_addr parsed;
  REQUIRE(workload.state == FAILED || workload.state == STARTING || workload.state == EXTERNAL);
  if (workload.state == STARTING) REQUIRE(workload.program.arguments[0] != NULL && workload.program.variables[0] != NULL);
  if (workload.state == FAILED) REQUIRE(workload.last.text[0] != '\0');
  if (workload_address(&host, &port, &prefix)) REQUIRE(inet_pton(AF_INET, host, &parsed) == 1);
  REQUIRE(workload_describe(text, sizeof text) < sizeof text);
  struct json *described = json_parse(text);
  REQUIRE(described != NULL);
  json_free(described);
  if (workload.state == FAILED) return;
  workload.pid = 1;
  check_health(NULL);
  workload.pid = 0;
}

// A second one is refused.
static void try_manifest(const char *text, enum state begin) {
  forget_workload(begin);
  REQUIRE(workload_set_manifest(text));
  check_workload();
  if (workload.manifest != NULL) REQUIRE(!workload_set_manifest(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = copy_text(data, size);
  try_manifest(text, NONE);
  try_manifest(text, EXTERNAL);
  free(text);
  forget_workload(NONE);
  return 0;
}
