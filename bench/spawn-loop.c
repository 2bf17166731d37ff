// bench: the bound for creates: the same processes, taps and directories, made by a loop that keeps no
// state and answers nobody. Prints the seconds from the first launch until every socket answers, and the
// processor time that the loop itself took meanwhile, without that of the processes.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clocks.h"

static void make_tap(int control, const char *name, const char *bridge) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
  if (tun < 0 || ioctl(tun, TUNSETIFF, &request) < 0 || ioctl(tun, TUNSETPERSIST, 1) < 0) exit(2);
  struct ifreq port = {.ifr_ifindex = (int)if_nametoindex(name)};
  snprintf(port.ifr_name, IFNAMSIZ, "%s", bridge);
  if (ioctl(control, SIOCBRADDIF, &port) < 0) exit(3);
  struct ifreq up = {.ifr_flags = IFF_UP};
  snprintf(up.ifr_name, IFNAMSIZ, "%s", name);
  if (ioctl(control, SIOCSIFFLAGS, &up) < 0) exit(4);
  close(tun);
}

static int answers(const char *directory) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  char byte;
  snprintf(at.sun_path, sizeof at.sun_path, "%s/control.sock", directory);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int ok = connect(fd, (struct sockaddr *)&at, sizeof at) == 0 && read(fd, &byte, 1) == 1;
  close(fd);
  return ok;
}

// spawn-loop SIMULATOR DIRECTORY BRIDGE COUNT
int main(int argc, char **argv) {
  if (argc != 5) return 1;
  int count = atoi(argv[4]), control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  pid_t *pids = calloc((size_t)count, sizeof *pids);
  double started = now(), cpu = cpu_seconds();
  for (int i = 0; i < count; i++) {
    char directory[80], tap[IFNAMSIZ];
    snprintf(directory, sizeof directory, "%s/%d", argv[2], i);
    snprintf(tap, sizeof tap, "loop-%d", i);
    mkdir(directory, 0700);
    make_tap(control, tap, argv[3]);
    pids[i] = vfork();
    if (pids[i] == 0) {
      execl(argv[1], argv[1], "--run-directory", directory, "--name", tap, "--tap", tap, (char *)NULL);
      _exit(127);
    }
  }
  for (int i = 0; i < count; i++) {
    char directory[80];
    snprintf(directory, sizeof directory, "%s/%d", argv[2], i);
    while (!answers(directory)) usleep(200);
  }
  printf("{\"seconds\":%.6f,\"cpuSeconds\":%.6f}\n", now() - started, cpu_seconds() - cpu);
  for (int i = 0; i < count; i++) kill(pids[i], SIGKILL);
  // Their processor time is added to this process's when they are waited for.
  for (int i = 0; i < count; i++) waitpid(pids[i], NULL, 0);
  return 0;
}
