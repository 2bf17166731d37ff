// guest: the end of the guest: the workload is stopped, the lease returned, the disks are made clean, the machine powers off.
#include "workload/power.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/console.h"
#include "base/loop.h"
#include "base/say.h"
#include "files/transfer.h"
#include "network/dhcp.h"
#include "system/filesystem.h"
#include "system/init.h"
#include "workload/workload.h"

#define WORKLOAD_STOP_MS 5000
// An init has many programs to stop, and some are slow.
#define INIT_STOP_MS 60000
// Time to send what is still on its way: the last lines of the log, and the answer to a request to power off.
#define SEND_REST_MS 20
#define BUTTONS_MAX 8
#define KILL_TURNS 200
#define KILL_TURN_MS 5

static bool ending;
static void (*before_end)(bool is_last);
// The last line of the console, which says how the workload ended. Empty for another reason to power off.
static char verdict[96];
static struct source buttons[BUTTONS_MAX];

void power_before_end(void (*callback)(bool is_last)) {
  before_end = callback;
}

static void tell_end(bool is_last) {
  if (before_end != NULL) before_end(is_last);
}

// What the workload left behind might hold a disk, or print behind the verdict.
static void kill_the_rest(void) {
  if (getpid() != 1 || kill(-1, SIGKILL) < 0) return;
  for (int turn = 0; turn < KILL_TURNS; turn++) {
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
    }
    if (pid < 0) return;
    poll(NULL, 0, KILL_TURN_MS);
  }
}

static void end_now(void *context) {
  (void)context;
  dhcp_release();
  // A disk that somebody writes to cannot be made clean.
  transfer_end_all();
  if (verdict[0] != '\0') kill_the_rest();
  sync();
  filesystem_release();
  console_flush();
  if (verdict[0] != '\0') console_write_last(verdict);
  reboot(RB_POWER_OFF);
}

static void workload_has_ended(void *context) {
  (void)context;
  tell_end(true);
  loop_timer(SEND_REST_MS, end_now, NULL);
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
  tell_end(false);
  if (init_is_beside()) {
    workload_stop(0, NULL);
    init_power_off();
    loop_timer(init_ms, init_is_late, NULL);
    return;
  }
  workload_stop(timeout_ms, workload_has_ended);
}

// src/engine/vms/ends/verdict.ts reads this line.
void power_off_after_end(int exit_code, int exit_signal) {
  if (ending) return;
  ending = true;
  bool is_killed = exit_signal >= 0;
  snprintf(verdict, sizeof verdict, "volant-agent: workload ended for good: %s %d\n", is_killed ? "signal" : "exit status",
           is_killed ? exit_signal : exit_code);
  loop_timer(SEND_REST_MS, end_now, NULL);
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
