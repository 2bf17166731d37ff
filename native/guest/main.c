// guest: the agent's main program: the order of the start, the signals, and the connections between modules.
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

#include "base/base64url.h"
#include "base/gunzip.h"
#include "base/loop.h"
#include "base/manifest_limits.h"
#include "base/say.h"
#include "channel.h"
#include "exec/exec.h"
#include "exec/routes.h"
#include "files/transfer.h"
#include "http/server.h"
#include "metadata/service.h"
#include "network/network.h"
#include "system/boot.h"
#include "system/clock.h"
#include "system/cmdline.h"
#include "system/disks.h"
#include "system/environment.h"
#include "system/init.h"
#include "system/rootfs.h"
#include "workload/health.h"
#include "workload/power.h"
#include "workload/workload.h"

static struct source signals;

static void reap(void) {
  int status;
  pid_t pid;
  // Process 1 is the parent of all orphans of the guest.
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    workload_child_ended(pid, status);
    health_child_ended(pid, status);
    exec_child_ended(pid, status);
    init_child_ended(pid, status);
    transfer_child_ended(pid);
  }
}

static void on_signal(void *context, uint32_t events) {
  struct signalfd_siginfo info;
  (void)context;
  (void)events;
  while (read(signals.fd, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo == SIGCHLD) reap();
    // An init that shuts down sends signals to all processes. The agent ignores them and serves until the end.
    else if (!init_is_beside()) power_off();
  }
}

static void watch_signals(void) {
  // Busybox sends SIGTERM, SIGUSR1 and SIGUSR2 for reboot, halt and poweroff. Others send SIGPWR. SIGINT is Ctrl-Alt-Del.
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
    // An older form is JSON without gzip.
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

// Returns false if the guest has to stay in the initramfs because its root disk cannot be entered. Nothing can run then.
static bool enter_root(void) {
  char why[192];
  const char *boot = cmdline_value("volant.boot");
  if (boot == NULL || strcmp(boot, "rootfs") != 0) return true;
  if (rootfs_enter(why, sizeof why)) return true;
  workload_give_up(why);
  return false;
}

// The init of the root disk, or NULL if the agent stays process 1. The kernel itself ignores init= if the initramfs has an
// /init.
static const char *own_init(bool entered) {
  const char *boot = cmdline_value("volant.boot");
  bool is_rootfs = boot != NULL && strcmp(boot, "rootfs") == 0;
  return entered && is_rootfs ? cmdline_value("init") : NULL;
}

static void hand_over(const char *init, char *name) {
  char why[192];
  workload_set_external();
  start_workload();
  // Programs that the init starts expect their disks.
  disks_wait();
  if (init_start(init, name)) return;
  snprintf(why, sizeof why, "the init %.80s cannot be executed: %s", init, strerror(errno));
  workload_give_up(why);
}

// Called before anything that may sleep. In a guest whose timers do not fire a sleep does not end.
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
  // Opened before the switch to the root disk, which may be read-only and have no /dev. The daemon must learn about that.
  workload_on_change(channel_send_changed);
  workload_on_final_end(power_off_after_end);
  channel_open();
  const char *init = own_init(enter_root());
  network_setup();
  if (init != NULL) hand_over(init, arguments[0]);
  // From here on the agent may be a process beside the init. What belongs to a process is set up after that.
  watch_signals();
  environment_protect_agent();
  if (!init_is_beside()) {
    environment_make();
    network_write_files();
    disks_own_dev();
  }
  power_watch_button();
  exec_begin();
  exec_serve();
  metadata_serve(METADATA_PORT, channel_send_result);
  http_listen();
  if (init == NULL) start_workload();
  loop_run();
}
