// bench: many readers of event streams in one thread, which count what they are sent and look at nothing else.
// Prints "ready" when every stream is open, and then, when each reader has had all events, the time of the clock
// CLOCK_MONOTONIC in seconds at the last one, and its own processor time.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clocks.h"

#define SILENCE_MS 20000

struct reader {
  int fd;
  bool is_open, at_line_start;
  long events;
};

static void die(const char *what) {
  fprintf(stderr, "readers: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void dial(struct reader *reader, int poll, int port, const char *path) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  char request[512];
  int length = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n", path);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  reader->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (reader->fd < 0 || connect(reader->fd, (struct sockaddr *)&at, sizeof at) < 0) die("connect");
  if (write(reader->fd, request, (size_t)length) != length) die("write");
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = reader};
  if (epoll_ctl(poll, EPOLL_CTL_ADD, reader->fd, &event) < 0) die("epoll_ctl");
}

// A comment opens the stream; each event has one line that begins with "data".
static void look_at(struct reader *reader, const char *bytes, ssize_t count) {
  for (ssize_t i = 0; i < count; i++) {
    if (reader->at_line_start && bytes[i] == ':') reader->is_open = true;
    if (reader->at_line_start && reader->is_open && bytes[i] == 'd') reader->events++;
    reader->at_line_start = bytes[i] == '\n';
  }
}

// readers PORT PATH READERS EVENTS
int main(int argc, char **argv) {
  if (argc != 5) return 2;
  int count = atoi(argv[3]), poll = epoll_create1(EPOLL_CLOEXEC), open_count = 0, done = 0;
  long wanted = atol(argv[4]);
  struct reader *readers = calloc((size_t)count, sizeof *readers);
  struct epoll_event ready[256];
  static char bytes[65536];
  for (int i = 0; i < count; i++) dial(&readers[i], poll, atoi(argv[1]), argv[2]);
  double opened_cpu = 0;
  while (done < count) {
    int events = epoll_wait(poll, ready, 256, SILENCE_MS);
    if (events <= 0) die("nothing was sent for 20 seconds");
    for (int i = 0; i < events; i++) {
      struct reader *reader = ready[i].data.ptr;
      bool was_open = reader->is_open, was_done = reader->events >= wanted;
      ssize_t length = read(reader->fd, bytes, sizeof bytes);
      if (length <= 0) die("a stream has ended");
      look_at(reader, bytes, length);
      if (!was_open && reader->is_open && ++open_count == count) {
        opened_cpu = cpu_seconds();
        printf("ready\n");
        fflush(stdout);
      }
      if (!was_done && reader->events >= wanted) done++;
    }
  }
  double at = now(), cpu = cpu_seconds() - opened_cpu;
  printf("{\"atSeconds\":%.6f,\"cpuSeconds\":%.6f}\n", at, cpu);
  return 0;
}
