// test: the agent without a guest: its HTTP server, its channel and its workload as a program of the
// host, so that they can be tried with checks of memory built in. Usage: host-agent PORT_SOCKET [METADATA_PORT].
// A unix socket stands for the virtio-serial port; the TCP port of the server is told on stdout.
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

// Its port is a variable of its own: here it is a socket that comes and goes.
#include "channel.c"

#include "base/console.h"
#include "exec/exec.h"
#include "exec/routes.h"
#include "files/transfer.h"
#include "http/connection.h"
#include "http/log_stream.h"
#include "metadata/service.h"
#include "network/network.h"
#include "workload/health.h"
#include "workload/log_ring.h"
#include "workload/power.h"
#include "workload/workload.h"

#define POWER_OFF_MS 2000
#define BACKLOG 64

static struct source web, host, signals_of_host;

bool console_write(const char *text, size_t length) {
  return fwrite(text, 1, length, stderr) == length;
}

bool console_has_room(void) {
  return true;
}

const char *network_address(void) {
  return "127.0.0.1";
}

static void leave(void *context) {
  (void)context;
  exit(0);
}

static void (*before_end)(bool is_last);

void power_before_end(void (*callback)(bool is_last)) {
  before_end = callback;
}

void power_off_within(int timeout_ms) {
  static bool ending;
  if (!ending) before_end(true);
  if (ending) return workload_stop_within(timeout_ms);
  ending = true;
  workload_stop(timeout_ms, leave);
}

void power_off(void) {
  power_off_within(POWER_OFF_MS);
}

static void end_for_good(int exit_code, int exit_signal) {
  printf("ended %d %d\n", exit_code, exit_signal);
  fflush(stdout);
  leave(NULL);
}

// As http_listen does, which is not called here: the port is chosen by the kernel.
static void send_log(void) {
  connection_each(STREAMING, log_stream_send);
}

static void on_web(void *context, uint32_t events) {
  (void)context;
  (void)events;
  int fd = accept4(web.fd, NULL, NULL, SOCK_CLOEXEC);
  if (fd >= 0) http_serve(fd, false);
}

// Another host takes the port over. The agent is not told: it must find its way by the greeting.
static void on_host(void *context, uint32_t events) {
  (void)context;
  (void)events;
  int fd = accept4(host.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  if (port_fd >= 0) {
    loop_remove(&port);
    close(port_fd);
  }
  port_fd = fd;
  loop_add(&port, port_fd, EPOLLIN | EPOLLOUT | EPOLLET, on_port, NULL);
}

static void on_signal(void *context, uint32_t events) {
  struct signalfd_siginfo info;
  (void)context;
  (void)events;
  while (read(signals_of_host.fd, &info, sizeof info) == (ssize_t)sizeof info) {
    int status;
    pid_t pid;
    if (info.ssi_signo == SIGTERM) power_off();
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
      workload_child_ended(pid, status);
      health_child_ended(pid, status);
      exec_child_ended(pid, status);
      transfer_child_ended(pid);
    }
  }
}

static void watch_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  loop_add(&signals_of_host, fd, EPOLLIN, on_signal, NULL);
}

static bool listen_for_web(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof at;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, BACKLOG) < 0) return false;
  if (getsockname(fd, (struct sockaddr *)&at, &size) < 0) return false;
  loop_add(&web, fd, EPOLLIN, on_web, NULL);
  printf("port %u\n", ntohs(at.sin_port));
  fflush(stdout);
  return true;
}

static bool listen_for_host(const char *path) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, BACKLOG) < 0) return false;
  loop_add(&host, fd, EPOLLIN, on_host, NULL);
  return true;
}

int main(int count, char **arguments) {
  if (count < 2) return 2;
  loop_init();
  workload_on_change(channel_send_changed);
  workload_on_final_end(end_for_good);
  log_on_growth(send_log);
  // Orphans are its own, as those of a guest are PID 1's.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  watch_signals();
  exec_begin();
  exec_serve();
  metadata_serve(count > 2 ? (uint16_t)atoi(arguments[2]) : METADATA_PORT, channel_send_result);
  if (!listen_for_host(arguments[1]) || !listen_for_web()) return 1;
  loop_run();
}
