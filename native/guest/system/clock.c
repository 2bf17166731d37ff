// guest: the check of the guest's clock and the end of a guest that fails it. A kernel whose timer calibration was disturbed
// comes up without a clock event device, and nothing that sleeps in it wakes up. So the agent checks the clock first.
#include "system/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/files.h"
#include "base/loop.h"
#include "base/manifest_limits.h"
#include "base/say.h"

#define TIMER_MS 20
// A timer has failed if it has not fired after this time and after this number of turns of the check. Time alone is not
// enough, because it passes while the host runs something else. Turns alone are not enough, because a host may be fast.
#define WAIT_MS 3000
#define TURNS_MIN 20000
// Ends the check of a guest in which even the time does not advance.
#define TURNS_MAX 4000000
#define CPUS_MAX 64
#define CLOCKEVENT "clockevent"

// The hypervisor ends with status EXIT_VALUE * 2 + 1 when this value is written to its exit port (QEMU,
// hw/misc/debugexit.c). src/hypervisor/drivers/qemu-command.ts has the device and the status.
#define EXIT_PORT 0xf4
#define EXIT_VALUE 0x56

// sysfs has a directory for each possible processor. Its file is empty if the processor has no device.
static bool has_device(const char *root) {
  DIR *directory = opendir(root);
  bool found = false;
  struct dirent *entry;
  // Some kernels do not have these directories. Then only the timers are checked.
  if (directory == NULL) return true;
  while (!found && (entry = readdir(directory)) != NULL) {
    char path[PATH_BYTES_MAX + 1], device[64];
    if (strncmp(entry->d_name, CLOCKEVENT, strlen(CLOCKEVENT)) != 0) continue;
    snprintf(path, sizeof path, "%s/%.64s/current_device", root, entry->d_name);
    found = read_file(path, device, sizeof device) > 0 && device[0] != '\n';
  }
  closedir(directory);
  return found;
}

static int arm_timer(void) {
  struct itimerspec when = {.it_value.tv_nsec = TIMER_MS * 1000000L};
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd >= 0) timerfd_settime(fd, 0, &when, NULL);
  return fd;
}

// One timer for each processor that this process may run on, because the kernel serves a timer on the processor that set it.
static int arm_timers(int *fds) {
  cpu_set_t all, one;
  int count = 0;
  if (sched_getaffinity(0, sizeof all, &all) < 0) {
    fds[0] = arm_timer();
    return 1;
  }
  for (int cpu = 0; cpu < CPU_SETSIZE && count < CPUS_MAX; cpu++) {
    if (!CPU_ISSET(cpu, &all)) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    fds[count++] = arm_timer();
  }
  sched_setaffinity(0, sizeof all, &all);
  return count;
}

// A kernel without timerfd passes.
static bool has_fired(int fd) {
  uint64_t times;
  return fd < 0 || read(fd, &times, sizeof times) == (ssize_t)sizeof times;
}

// Never sleeps: in a guest without clock events a sleep does not end.
static bool timers_fire(void) {
  int fds[CPUS_MAX];
  int count = arm_timers(fds), fired = 0;
  int64_t until_ms = now_ms() + WAIT_MS;
  for (long turn = 0; fired < count && turn < TURNS_MAX; turn++) {
    if (turn > TURNS_MIN && now_ms() > until_ms) break;
    if (has_fired(fds[fired])) fired++;
    else sched_yield();
  }
  for (int i = 0; i < count; i++) {
    if (fds[i] >= 0) close(fds[i]);
  }
  return fired == count;
}

const char *clock_fault(const char *root) {
  if (!timers_fire()) return "a timer of 20 ms has not fired";
  if (!has_device(root)) return "the kernel has no clock event device";
  return NULL;
}

// The kernel writes a line of the highest priority to the console itself. The terminal would wait for an interrupt.
static void report_fault(const char *fault) {
  char line[160];
  int length = snprintf(line, sizeof line, "<0>volant: the clock of this guest is broken: %s\n", fault);
  int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, line, (size_t)length) < 0) say("%s", fault);
  close(fd);
}

void clock_end_guest(const char *fault) {
  report_fault(fault);
  if (ioperm(EXIT_PORT, 1, 1) == 0) outb(EXIT_VALUE, EXIT_PORT);
  // The hypervisor has no such port. This reboot does not wait for timers, as an orderly one would.
  write_file("/proc/sysrq-trigger", "b");
  say("the guest cannot be ended: %s", strerror(errno));
}
