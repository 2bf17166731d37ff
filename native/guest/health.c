// guest: one question to the workload's health endpoint, at most one at a time. How often it is asked
// and what the answer means is workload.c's business.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http.h"

#define TIMEOUT_MS 5000

static struct {
  struct source source;
  int fd;
  bool sent;
  char request[BASE_URL_PATH_BYTES_MAX + HEALTH_ENDPOINT_BYTES_MAX + 128];
  size_t length;
  health_callback done;
} probe = {.fd = -1};

static void time_is_over(void *context);

static void end(bool success) {
  loop_cancel(time_is_over, NULL);
  loop_remove(&probe.source);
  close(probe.fd);
  probe.fd = -1;
  probe.done(success);
}

static void time_is_over(void *context) {
  (void)context;
  end(false);
}

static void on_probe(void *context, uint32_t events) {
  char text[512];
  (void)context;
  if (!probe.sent) {
    ssize_t sent = events & EPOLLERR ? -1 : send(probe.fd, probe.request, probe.length, MSG_NOSIGNAL);
    if (sent != (ssize_t)probe.length) return end(false);
    probe.sent = true;
    loop_change(&probe.source, EPOLLIN);
    return;
  }
  ssize_t count = read(probe.fd, text, sizeof text);
  if (count < 0 && errno == EAGAIN) return;
  end(count > 0 && head_is_success(text, (size_t)count));
}

void health_probe(const char *host, uint16_t port, const char *prefix, const char *endpoint,
                  health_callback done) {
  // The one under way will tell.
  if (probe.fd >= 0) return;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, host, &to.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return done(false);
  int length = snprintf(probe.request, sizeof probe.request,
                        "GET %s%s HTTP/1.1\r\nHost: %s:%u\r\nConnection: close\r\n\r\n", prefix,
                        endpoint, host, port);
  probe.fd = fd;
  probe.sent = false;
  probe.length = (size_t)length;
  probe.done = done;
  int result = connect(fd, (struct sockaddr *)&to, sizeof to);
  loop_add(&probe.source, fd, EPOLLOUT, on_probe, NULL);
  loop_timer(TIMEOUT_MS, time_is_over, NULL);
  if (result < 0 && errno != EINPROGRESS) end(false);
}
