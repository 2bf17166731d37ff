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
#define BUTTONS_MAX 8

static bool ending;
static struct source buttons[BUTTONS_MAX];

static void end_now(void *context) {
  (void)context;
  sync();
  reboot(RB_POWER_OFF);
}

void power_off(void) {
  if (ending) return;
  ending = true;
  say("powering off");
  workload_stop(WORKLOAD_STOP_MS, end_now);
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
