// bench: the load generator. One thread asks for one path over many kept-alive connections.
//   closed: as fast as the answers come. Says how many a second there are.
//   open: at a fixed rate, by a plan that does not wait for answers. The time of each request runs from the moment at
//   which it should have been sent, so a server that stalls is charged for every request that had to wait (no
//   coordinated omission).
// Prints one line of JSON with its own processor time, so that a saturated generator can be recognised.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "clocks.h"

#define HEAD_BYTES_MAX 8192
#define CONNECTIONS_MAX 4096
// How many times as long as planned an open run may take.
#define PLAN_FACTOR_MAX 3

struct connection {
  int fd;
  bool busy;
  size_t head_length, body_left;
  double due;
  char head[HEAD_BYTES_MAX];
};

static struct {
  int connections, poll, timer, request_length;
  double seconds, rate, started;
  char request[1024];
} load;

static struct connection *all[CONNECTIONS_MAX];
static struct connection *idle[CONNECTIONS_MAX];
static int idle_count;
static double *samples;
static size_t sample_count, sample_capacity;
static size_t errors;

static void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static struct connection *dial(int port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  struct connection *made = calloc(1, sizeof *made);
  int yes = 1;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  made->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (made->fd < 0 || connect(made->fd, (struct sockaddr *)&at, sizeof at) < 0) die("connect");
  setsockopt(made->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = made};
  if (epoll_ctl(load.poll, EPOLL_CTL_ADD, made->fd, &event) < 0) die("epoll_ctl");
  return made;
}

static void ask(struct connection *on, double due) {
  on->busy = true;
  on->due = due;
  on->head_length = on->body_left = 0;
  if (send(on->fd, load.request, (size_t)load.request_length, MSG_NOSIGNAL) != load.request_length) die("send");
}

static void note(double seconds) {
  if (sample_count == sample_capacity) {
    sample_capacity = sample_capacity == 0 ? 1 << 20 : sample_capacity * 2;
    samples = realloc(samples, sample_capacity * sizeof *samples);
    if (samples == NULL) die("memory");
  }
  samples[sample_count++] = seconds;
}

static size_t content_length(const char *head) {
  const char *at = strcasestr(head, "\r\ncontent-length:");
  return at == NULL ? 0 : strtoul(at + 17, NULL, 10);
}

// true when the answer is complete.
static bool take(struct connection *on) {
  if (on->body_left > 0) {
    // What nobody looks at is not copied either.
    ssize_t count = recv(on->fd, NULL, on->body_left, MSG_TRUNC);
    if (count <= 0) die("the server closed a connection");
    on->body_left -= (size_t)count;
    return on->body_left == 0;
  }
  ssize_t count = recv(on->fd, on->head + on->head_length, sizeof on->head - 1 - on->head_length, 0);
  if (count <= 0) die("the server closed a connection");
  on->head_length += (size_t)count;
  on->head[on->head_length] = '\0';
  char *end = strstr(on->head, "\r\n\r\n");
  if (end == NULL) {
    if (on->head_length == sizeof on->head - 1) die("the head of an answer is too long");
    return false;
  }
  if (strncmp(on->head, "HTTP/1.1 2", 10) != 0) errors++;
  size_t body_here = on->head_length - (size_t)(end + 4 - on->head), body = content_length(on->head);
  on->body_left = body > body_here ? body - body_here : 0;
  return on->body_left == 0;
}

static void arm(double at) {
  struct itimerspec when = {.it_value = {.tv_sec = (time_t)at, .tv_nsec = (long)(fmod(at, 1) * 1e9)}};
  timerfd_settime(load.timer, TFD_TIMER_ABSTIME, &when, NULL);
}

// Sends what is due on connections that are free; what finds none waits, and its time runs.
static void send_due(size_t *next) {
  double at = now(), until = load.started + load.seconds;
  while (idle_count > 0) {
    double due = load.started + (double)*next / load.rate;
    if (due > at || due >= until) break;
    ask(idle[--idle_count], due);
    (*next)++;
  }
  double due = load.started + (double)*next / load.rate;
  if (idle_count > 0 && due < until) arm(due > at ? due : at + 1e-6);
}

// A server that cannot keep up would be waited for without end. What was not sent or not answered has waited until now.
static void give_up(size_t next, size_t planned) {
  double at = now();
  for (int i = 0; i < load.connections; i++) {
    if (all[i]->busy) note(at - all[i]->due);
  }
  for (; next < planned; next++) note(at - (load.started + (double)next / load.rate));
}

static void run(void) {
  struct epoll_event ready[256];
  size_t next = 0, busy = 0;
  double until = load.started + load.seconds;
  bool is_open = load.rate > 0;
  if (is_open) {
    for (int i = 0; i < load.connections; i++) idle[idle_count++] = all[i];
    send_due(&next);
  } else {
    for (int i = 0; i < load.connections; i++) ask(all[i], load.started);
    busy = (size_t)load.connections;
  }
  size_t planned = is_open ? (size_t)ceil(load.rate * load.seconds) : 0;
  while (is_open ? sample_count < planned : busy > 0) {
    int count = epoll_wait(load.poll, ready, 256, 5000);
    if (count == 0) die("no answer within 5 seconds");
    double at = now();
    for (int i = 0; i < count; i++) {
      struct connection *on = ready[i].data.ptr;
      if (on == NULL) {
        uint64_t expired;
        if (read(load.timer, &expired, sizeof expired) < 0 && errno != EAGAIN) die("timer");
        continue;
      }
      if (!on->busy) die("the server closed a connection");
      if (!take(on)) continue;
      note(at - on->due);
      on->busy = false;
      if (is_open) idle[idle_count++] = on;
      else if (at < until) ask(on, at);
      else busy--;
    }
    if (!is_open) continue;
    if (at > load.started + load.seconds * PLAN_FACTOR_MAX) return give_up(next, planned);
    send_due(&next);
  }
}

static int by_size(const void *a, const void *b) {
  double first = *(const double *)a, second = *(const double *)b;
  return (first > second) - (first < second);
}

static double milliseconds_at(double share) {
  size_t rank = (size_t)ceil(share * (double)sample_count);
  return sample_count == 0 ? 0 : samples[rank == 0 ? 0 : rank - 1] * 1000;
}

// load PORT PATH CONNECTIONS SECONDS [RATE]
// What is measured is the server, and not how long this process waits for a processor that other programs have. Nobody but root
// may do this; without it the figures are too long on a busy machine, and as they are on an idle one.
static void run_before_others(void) {
  struct sched_param first = {.sched_priority = 1};
  if (sched_setscheduler(0, SCHED_FIFO, &first) < 0 && errno != EPERM) die("sched_setscheduler");
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  load.connections = atoi(argv[3]);
  load.seconds = atof(argv[4]);
  load.rate = argc > 5 ? atof(argv[5]) : 0;
  if (load.connections < 1 || load.connections > CONNECTIONS_MAX) return 2;
  load.request_length = snprintf(load.request, sizeof load.request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", argv[2]);
  load.poll = epoll_create1(EPOLL_CLOEXEC);
  load.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  struct epoll_event timer = {.events = EPOLLIN, .data.ptr = NULL};
  if (epoll_ctl(load.poll, EPOLL_CTL_ADD, load.timer, &timer) < 0) die("epoll_ctl");
  for (int i = 0; i < load.connections; i++) all[i] = dial(atoi(argv[1]));
  if (load.rate > 0) run_before_others();
  double cpu = cpu_seconds();
  load.started = now();
  run();
  double seconds = now() - load.started;
  cpu = cpu_seconds() - cpu;
  qsort(samples, sample_count, sizeof *samples, by_size);
  printf("{\"requests\":%zu,\"errors\":%zu,\"seconds\":%.6f,\"cpuSeconds\":%.6f,", sample_count, errors, seconds, cpu);
  printf("\"p50Ms\":%.4f,\"p99Ms\":%.4f,\"maxMs\":%.4f}\n", milliseconds_at(0.5), milliseconds_at(0.99), milliseconds_at(1));
  return 0;
}
