// guest: the guest's console, with a queue for text that a slow serial port has not taken yet.
#include "base/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <linux/serial.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/loop.h"

// While the queue is more than half full, the workload's output is not read.
#define CONSOLE_QUEUE_BYTES 65536
#define FLUSH_TIMEOUT_MS 500
#define LAST_TIMEOUT_MS 10000
#define SENT_POLL_MS 5

static int console_fd = -1;
static struct source console_source;
static bool console_watched;
static char queue[CONSOLE_QUEUE_BYTES];
static size_t queued;

void console_open(void) {
  int fd = open("/dev/console", O_RDWR | O_NOCTTY);
  if (fd >= 0) {
    for (int target = 0; target <= 2; target++) dup2(fd, target);
    if (fd > 2) close(fd);
  }
  // O_NONBLOCK belongs to the open file description. The workload's programs expect a console that blocks, so the agent
  // opens the console a second time for itself.
  console_fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

static void drain_console(void *context, uint32_t events) {
  (void)context;
  (void)events;
  ssize_t count = write(console_fd, queue, queued);
  if (count > 0) {
    queued -= (size_t)count;
    memmove(queue, queue + count, queued);
  } else if (count < 0 && errno != EAGAIN) {
    // The terminal was hung up. The queued text is lost.
    queued = 0;
  }
  if (queued > 0) return;
  loop_remove(&console_source);
  console_watched = false;
}

bool console_write(const char *text, size_t length) {
  if (console_fd < 0) return true;
  if (queued == 0) {
    ssize_t count = write(console_fd, text, length);
    if (count > 0) {
      text += count;
      length -= (size_t)count;
    }
  }
  if (length == 0) return true;
  if (length > sizeof queue - queued) return false;
  memcpy(queue + queued, text, length);
  queued += length;
  if (!console_watched) {
    loop_add(&console_source, console_fd, EPOLLOUT, drain_console, NULL);
    console_watched = true;
  }
  return true;
}

bool console_has_room(void) {
  return queued < sizeof queue / 2;
}

void console_flush(void) {
  struct pollfd console = {.fd = console_fd, .events = POLLOUT};
  while (queued > 0 && poll(&console, 1, FLUSH_TIMEOUT_MS) > 0) drain_console(NULL, 0);
}

// Whether the serial port has sent everything. Terminals that cannot say it have an empty queue at least.
static bool is_sent(void) {
  int state = 0, waiting = 0;
  if (ioctl(console_fd, TIOCSERGETLSR, &state) == 0) return (state & TIOCSER_TEMT) != 0;
  return ioctl(console_fd, TIOCOUTQ, &waiting) < 0 || waiting == 0;
}

void console_write_last(const char *text) {
  int64_t until_ms = now_ms() + LAST_TIMEOUT_MS;
  // What is queued comes first. A line that was begun ends.
  while (queued > 0 && now_ms() < until_ms) console_flush();
  console_write("\n", 1);
  console_write(text, strlen(text));
  while (queued > 0 && now_ms() < until_ms) console_flush();
  while (!is_sent() && now_ms() < until_ms) poll(NULL, 0, SENT_POLL_MS);
}
