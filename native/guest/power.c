// guest: the end of the machine, in good order.
#include <dirent.h>
#include <fcntl.h>
#include <linux/input.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "agent.h"

#define WORKLOAD_STOP_MS 5000
// An init stops many programs, some of them slow.
#define INIT_STOP_MS 60000
// For what is still on its way out: the last lines of the log, the answer to who asked for the end.
#define LAST_WORDS_MS 20
#define BUTTONS_MAX 8

static bool ending;
static struct source buttons[BUTTONS_MAX];

static void end_now(void *context) {
  (void)context;
  dhcp_release();
  sync();
  filesystem_release();
  console_flush();
  reboot(RB_POWER_OFF);
}

static void workload_has_ended(void *context) {
  (void)context;
  loop_timer(LAST_WORDS_MS, end_now, NULL);
}

static void init_is_late(void *context) {
  say("the init has not powered off in time: the agent does");
  end_now(context);
}

void power_off(void) {
  if (!ending) power_off_within(WORKLOAD_STOP_MS);
}

void power_off_within(int timeout_ms) {
  int init_ms = timeout_ms > INIT_STOP_MS ? timeout_ms : INIT_STOP_MS;
  if (ending) {
    if (init_is_beside()) return loop_timer(init_ms, init_is_late, NULL);
    return workload_stop_within(timeout_ms);
  }
  ending = true;
  say("powering off");
  if (init_is_beside()) {
    workload_stop(0, NULL);
    init_power_off();
    loop_timer(init_ms, init_is_late, NULL);
    return;
  }
  workload_stop(timeout_ms, workload_has_ended);
}

static void on_input(void *context, uint32_t events) {
  struct source *source = context;
  struct input_event input;
  if (events & (EPOLLHUP | EPOLLERR)) {
    loop_remove(source);
    return;
  }
  while (read(source->fd, &input, sizeof input) == (ssize_t)sizeof input) {
    if (input.type == EV_KEY && input.code == KEY_POWER && input.value == 1) power_off();
  }
}

void power_watch_button(void) {
  DIR *directory = opendir("/dev/input");
  if (directory == NULL) return;
  int count = 0;
  struct dirent *entry;
  while ((entry = readdir(directory)) != NULL && count < BUTTONS_MAX) {
    char path[300];
    if (strncmp(entry->d_name, "event", 5) != 0) continue;
    snprintf(path, sizeof path, "/dev/input/%s", entry->d_name);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) continue;
    loop_add(&buttons[count], fd, EPOLLIN, on_input, &buttons[count]);
    count++;
  }
  closedir(directory);
}
