// guest: one check of the workload's health at a time: a request, a connection, a command, or whether a port listens.
// workload.c decides how often, and what the result means.
#include "workload/health.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"
#include "base/heads.h"
#include "base/loop.h"
#include "workload/launch.h"

#define OUTPUT_BYTES_MAX 80

static struct {
  const struct program *program;  // NULL: no check is under way
  health_callback done;
  struct source source;
  int fd;
  // For a request.
  bool sent;
  char request[BASE_URL_PATH_BYTES_MAX + HEALTH_ENDPOINT_BYTES_MAX + 128];
  size_t length;
  // For a command.
  pid_t pid;
  char output[OUTPUT_BYTES_MAX + 1];
  size_t output_length;
} probe = {.fd = -1};

static void time_is_over(void *context);

void health_abandon(void) {
  if (probe.program == NULL) return;
  loop_cancel(time_is_over, NULL);
  if (probe.fd >= 0) {
    loop_remove(&probe.source);
    close(probe.fd);
  }
  if (probe.pid > 0 && kill(-probe.pid, SIGKILL) < 0) kill(probe.pid, SIGKILL);
  probe.fd = -1;
  probe.pid = 0;
  probe.program = NULL;
}

static void end(const char *failure) {
  health_abandon();
  probe.done(failure);
}

static const char *host_of(const struct program *program) {
  return program->host[0] != '\0' ? program->host : "127.0.0.1";
}

static void time_is_over(void *context) {
  char why[HEALTH_FAILURE_BYTES];
  (void)context;
  snprintf(why, sizeof why, "%s within %d ms", probe.pid > 0 ? "the command has not ended" : "no answer",
           probe.program->check.timeout_ms);
  end(why);
}

// ---- a request or a connection

static void end_refused(void) {
  char why[HEALTH_FAILURE_BYTES];
  snprintf(why, sizeof why, "nothing listens at %s:%u", host_of(probe.program), probe.program->check.port);
  end(why);
}

static void on_connection(void *context, uint32_t events) {
  char text[512], why[HEALTH_FAILURE_BYTES];
  (void)context;
  if (!probe.sent) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(probe.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0 || (events & EPOLLERR)) return end_refused();
    if (probe.program->check.type == CHECK_TCP) return end(NULL);
    ssize_t sent = send(probe.fd, probe.request, probe.length, MSG_NOSIGNAL);
    if (sent != (ssize_t)probe.length) return end("the request was not taken");
    probe.sent = true;
    loop_change(&probe.source, EPOLLIN);
    return;
  }
  ssize_t count = read(probe.fd, text, sizeof text - 1);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) return end("the connection was closed without an answer");
  if (head_is_success(text, (size_t)count)) return end(NULL);
  text[count] = '\0';
  unsigned status = 0;
  bool is_http = sscanf(text, "HTTP/%*c.%*c %3u", &status) == 1;
  snprintf(why, sizeof why, "%.100s is answered with %u", probe.program->check.endpoint, status);
  end(is_http ? why : "the answer is no HTTP");
}

static void connect_to(const struct program *program) {
  const struct check *check = &program->check;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(check->port)};
  inet_pton(AF_INET, host_of(program), &to.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return end("there is no socket for it");
  int length = snprintf(probe.request, sizeof probe.request,
                        "GET %s%s HTTP/1.1\r\nHost: %s:%u\r\nConnection: close\r\n\r\n", program->prefix,
                        check->endpoint, program->host, check->port);
  probe.fd = fd;
  probe.sent = false;
  probe.length = (size_t)length;
  int result = connect(fd, (struct sockaddr *)&to, sizeof to);
  loop_add(&probe.source, fd, EPOLLOUT, on_connection, NULL);
  if (result < 0 && errno != EINPROGRESS) end_refused();
}

// ---- whether a port listens, without a connection that the workload would see

// Sockets that listen come first in these files.
static bool listens_in(const char *path, unsigned port) {
  char line[256];
  bool found = false;
  FILE *file = fopen(path, "re");
  if (file == NULL) return false;
  if (fgets(line, sizeof line, file) == NULL) line[0] = '\0';
  while (!found && fgets(line, sizeof line, file) != NULL) {
    unsigned its_port = 0, state = 0;
    if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x", &its_port, &state) != 2) break;
    if (state != 0x0a) break;
    found = its_port == port;
  }
  fclose(file);
  return found;
}

static void look_for_listener(const struct program *program) {
  char why[HEALTH_FAILURE_BYTES];
  unsigned port = program->check.port;
  if (listens_in("/proc/net/tcp", port) || listens_in("/proc/net/tcp6", port)) return end(NULL);
  snprintf(why, sizeof why, "nothing listens at port %u, which base_url names", port);
  end(why);
}

// ---- a command

// Keeps the beginning of the output and discards the rest, so that the command does not block.
static void on_output(void *context, uint32_t events) {
  char text[1024];
  (void)context;
  (void)events;
  ssize_t count = read(probe.fd, text, sizeof text);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) return loop_change(&probe.source, 0);
  for (ssize_t i = 0; i < count && probe.output_length < OUTPUT_BYTES_MAX; i++) {
    probe.output[probe.output_length++] = text[i];
  }
}

static void run_command(const struct program *program) {
  int output[2];
  if (pipe2(output, O_CLOEXEC) < 0) return end("there is no pipe for it");
  pid_t pid = fork();
  if (pid == 0) {
    static struct program command;
    command = *program;
    memcpy(command.arguments, program->check.command, sizeof program->check.command);
    launch_child(&command, output[1], output[1], -1);
  }
  close(output[1]);
  if (pid < 0) {
    close(output[0]);
    return end("it cannot be forked");
  }
  probe.pid = pid;
  probe.fd = output[0];
  probe.output_length = 0;
  set_nonblocking(probe.fd);
  loop_add(&probe.source, probe.fd, EPOLLIN, on_output, NULL);
}

pid_t health_group(void) {
  return probe.pid;
}

void health_child_ended(pid_t pid, int status) {
  char why[HEALTH_FAILURE_BYTES];
  if (pid != probe.pid || pid <= 0) return;
  on_output(NULL, 0);
  // Kills what the command left in its group. Its process id may be reused from now on.
  kill(-pid, SIGKILL);
  probe.pid = 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return end(NULL);
  probe.output[probe.output_length] = '\0';
  probe.output[strcspn(probe.output, "\n")] = '\0';
  const char *separator = probe.output[0] == '\0' ? "" : ": ";
  if (WIFSIGNALED(status)) {
    snprintf(why, sizeof why, "the command was killed by signal %d%s%s", WTERMSIG(status), separator, probe.output);
  } else {
    snprintf(why, sizeof why, "the command ended with status %d%s%s", WEXITSTATUS(status), separator, probe.output);
  }
  end(why);
}

void health_probe(const struct program *program, health_callback done) {
  // The check that is under way calls back.
  if (probe.program != NULL) return;
  probe.program = program;
  probe.done = done;
  if (program->check.type == CHECK_LISTEN) return look_for_listener(program);
  loop_timer(program->check.timeout_ms, time_is_over, NULL);
  if (program->check.type == CHECK_EXEC) run_command(program);
  else connect_to(program);
}
