// guest: PID 1: the order in which a guest comes up, and the signals of its life.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

static struct source signals;

static void reap(void) {
  int status;
  pid_t pid;
  // As PID 1 it gets every orphan of the guest.
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    workload_child_ended(pid, status);
    health_child_ended(pid, status);
    init_child_ended(pid, status);
  }
}

static void on_signal(void *context, uint32_t events) {
  struct signalfd_siginfo info;
  (void)context;
  (void)events;
  while (read(signals.fd, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo == SIGCHLD) reap();
    // An init that ends sends them to all; the agent is of use until the last moment.
    else if (!init_is_beside()) power_off();
  }
}

static void watch_signals(void) {
  // SIGTERM, SIGUSR1 and SIGUSR2 are what busybox sends for reboot, halt and poweroff, SIGPWR what
  // others do; SIGINT is Ctrl-Alt-Del.
  static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGPWR};
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaddset(&set, numbers[i]);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  if (!init_is_beside()) reboot(RB_DISABLE_CAD);
  loop_add(&signals, signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), EPOLLIN, on_signal, NULL);
}

static void start_workload(void) {
  const char *encoded = cmdline_value("volant.manifest");
  const char *source = cmdline_value("volant.manifest_source");
  if (encoded == NULL) {
    if (source != NULL && strcmp(source, "channel") == 0) workload_wait_for_manifest();
    return;
  }
  unsigned char *packed = NULL;
  char *text = NULL;
  ssize_t length = base64url_decode(encoded, &packed);
  if (length > 0 && packed[0] == '{') {
    // Plain JSON, without gzip: an older form.
    packed[length] = '\0';
    workload_set_manifest((char *)packed);
  } else if (length > 0 && gunzip(packed, (size_t)length, MANIFEST_BYTES_MAX, &text) >= 0) {
    workload_set_manifest(text);
  } else {
    workload_fail("volant.manifest cannot be decoded");
  }
  free(packed);
  free(text);
}

// false when the guest stays in the initramfs though it should not: nothing can be run then.
static bool enter_root(void) {
  char why[192];
  const char *boot = cmdline_value("volant.boot");
  if (boot == NULL || strcmp(boot, "rootfs") != 0) return true;
  if (rootfs_enter(why, sizeof why)) return true;
  workload_give_up(why);
  return false;
}

// The kernel itself does not look at init= when its initramfs has an /init. NULL when the agent stays PID 1.
static const char *own_init(bool entered) {
  const char *boot = cmdline_value("volant.boot");
  bool is_rootfs = boot != NULL && strcmp(boot, "rootfs") == 0;
  return entered && is_rootfs ? cmdline_value("init") : NULL;
}

static void hand_over(const char *init, char *name) {
  char why[192];
  workload_set_external();
  start_workload();
  // The init's programs expect their disks.
  disks_wait();
  if (init_start(init, name)) return;
  snprintf(why, sizeof why, "the init %.80s cannot be executed: %s", init, strerror(errno));
  workload_give_up(why);
}

// Before anything that may sleep: in a guest whose timers do not fire it would never go on.
static void check_clock(void) {
  const char *fault = clock_fault("/sys/devices/system/clockevents");
  if (fault != NULL) clock_end_guest(fault);
}

int main(int count, char **arguments) {
  (void)count;
  loop_init();
  boot_mount();
  check_clock();
  cmdline_load();
  boot_load_modules();
  // Before the switch: a read-only root disk may lack a /dev, and the daemon must be able to learn of it.
  channel_open();
  const char *init = own_init(enter_root());
  network_setup();
  if (init != NULL) hand_over(init, arguments[0]);
  // From here on it may be a process beside the init. What belongs to a process comes after that.
  watch_signals();
  environment_protect_agent();
  if (!init_is_beside()) {
    environment_make();
    network_write_files();
    disks_own_dev();
  }
  power_watch_button();
  http_listen();
  if (init == NULL) start_workload();
  loop_run();
}
