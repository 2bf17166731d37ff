// guest: the event loop, on epoll. The promises of its functions are in loop.h.
#include "base/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 32
#define TIMERS_MAX 512

struct timer {
  int64_t due_ms;
  timer_callback callback;
  void *context;
};

static int epoll_fd = -1;
static struct timer timers[TIMERS_MAX];
static int timer_count;
// Events that epoll has reported and that are not delivered yet. loop_remove clears the entries of its source.
static struct epoll_event reported[EVENTS_MAX];
static int reported_count;

int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void loop_init(void) {
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
}

void loop_add(struct source *source, int fd, uint32_t events, fd_callback callback, void *context) {
  *source = (struct source){fd, events, callback, context};
  struct epoll_event event = {.events = events, .data.ptr = source};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) return;
  // The console module needs the loop, so the message goes to standard error, which is the console of a guest.
  dprintf(STDERR_FILENO, "volant-agent: epoll: cannot watch %d\n", fd);
}

void loop_change(struct source *source, uint32_t events) {
  if (source->events == events) return;
  // epoll reports a hang-up even if no events are asked for, and repeats it without end. The descriptor is removed.
  int operation = events == 0           ? EPOLL_CTL_DEL
                  : source->events == 0 ? EPOLL_CTL_ADD
                                        : EPOLL_CTL_MOD;
  struct epoll_event event = {.events = events, .data.ptr = source};
  source->events = events;
  epoll_ctl(epoll_fd, operation, source->fd, &event);
}

void loop_remove(struct source *source) {
  if (source->callback == NULL) return;
  epoll_ctl(epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
  for (int i = 0; i < reported_count; i++) {
    if (reported[i].data.ptr == source) reported[i].data.ptr = NULL;
  }
  source->callback = NULL;
}

void loop_timer(int delay_ms, timer_callback callback, void *context) {
  loop_cancel(callback, context);
  if (timer_count == TIMERS_MAX) return;
  timers[timer_count++] = (struct timer){now_ms() + delay_ms, callback, context};
}

void loop_cancel(timer_callback callback, void *context) {
  for (int i = 0; i < timer_count; i++) {
    if (timers[i].callback == callback && timers[i].context == context) {
      timers[i] = timers[--timer_count];
      return;
    }
  }
}

void loop_cancel_all(const void *context) {
  for (int i = 0; i < timer_count;) {
    if (timers[i].context == context) timers[i] = timers[--timer_count];
    else i++;
  }
}

// Milliseconds until the next timer, for epoll_wait.
static int next_timeout(void) {
  int64_t soonest = INT64_MAX;
  for (int i = 0; i < timer_count; i++) {
    if (timers[i].due_ms < soonest) soonest = timers[i].due_ms;
  }
  if (soonest == INT64_MAX) return -1;
  int64_t left = soonest - now_ms();
  return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static void run_timers(void) {
  for (int i = 0; i < timer_count;) {
    if (timers[i].due_ms > now_ms()) {
      i++;
      continue;
    }
    struct timer due = timers[i];
    timers[i] = timers[--timer_count];
    due.callback(due.context);
    // The callback may have changed the list, so the search starts again.
    i = 0;
  }
}

void loop_run(void) {
  for (;;) {
    reported_count = epoll_wait(epoll_fd, reported, EVENTS_MAX, next_timeout());
    if (reported_count < 0) reported_count = 0;
    for (int i = 0; i < reported_count; i++) {
      struct source *source = reported[i].data.ptr;
      if (source != NULL && source->callback != NULL) {
        source->callback(source->context, reported[i].events);
      }
    }
    reported_count = 0;
    run_timers();
  }
}
