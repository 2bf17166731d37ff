// guest: the event loop. One epoll descriptor, timers, and the monotonic clock. It does not know what the descriptors
// and timers are for.
#ifndef VOLANT_GUEST_LOOP_H
#define VOLANT_GUEST_LOOP_H

#include <stdint.h>

typedef void (*fd_callback)(void *context, uint32_t events);
typedef void (*timer_callback)(void *context);

// A descriptor that is watched.
struct source {
  int fd;
  uint32_t events;
  fd_callback callback;
  void *context;
};

// Must be called before every other function here, except now_ms.
void loop_init(void);
// Watches fd for events of epoll. The caller owns the source and keeps it alive until loop_remove.
void loop_add(struct source *source, int fd, uint32_t events, fd_callback callback, void *context);
// Changes what is watched for. With 0 nothing is reported, not even a hang-up.
void loop_change(struct source *source, uint32_t events);
// Stops watching. Safe within a callback: events that epoll has already reported for the source are not delivered.
void loop_remove(struct source *source);
// Calls back once after delay_ms. A second call with the same callback and context replaces the first. A timer beyond
// the maximum number of timers is dropped.
void loop_timer(int delay_ms, timer_callback callback, void *context);
// Cancels one timer. Does nothing when there is none.
void loop_cancel(timer_callback callback, void *context);
// Cancels all timers with this context.
void loop_cancel_all(const void *context);
// Delivers events and timers for the rest of the program's life.
void loop_run(void) __attribute__((noreturn));
// Milliseconds of CLOCK_MONOTONIC.
int64_t now_ms(void);

#endif
