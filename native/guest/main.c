// guest: PID 1: the order in which a guest comes up, and the signals of its life.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

#define MANIFEST_BYTES_MAX (4 * 1024 * 1024)

static struct source signals;

static void reap(void) {
  int status;
  pid_t pid;
  // Every orphan of the guest becomes our child.
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) workload_child_ended(pid, status);
}

static void on_signal(void *context, uint32_t events) {
  struct signalfd_siginfo info;
  (void)context;
  (void)events;
  while (read(signals.fd, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo == SIGCHLD) reap();
    else power_off();
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
  reboot(RB_DISABLE_CAD);
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

int main(void) {
  loop_init();
  boot_mount();
  cmdline_load();
  watch_signals();
  boot_load_modules();
  network_setup();
  power_watch_button();
  http_listen();
  channel_open();
  const char *boot = cmdline_value("volant.boot");
  if (boot != NULL && strcmp(boot, "rootfs") == 0) {
    workload_fail("volant.boot=rootfs needs an agent that can switch to a root disk");
  } else {
    start_workload();
  }
  loop_run();
}
