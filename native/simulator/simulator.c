// simulator: a simulated hypervisor for load tests. It is a real process with a real tap and real sockets, and boots no guest. It
// answers the QMP commands that the daemon uses, for one client at a time, and says in its answers that it is a simulator.
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define VERSION "1.0.0"
#define LINE_BYTES_MAX 4096

static const char greeting[] =
    "{\"QMP\":{\"version\":{\"package\":\"volant-simulator " VERSION
    "\",\"qemu\":{\"major\":0,\"minor\":0,\"micro\":0}},\"capabilities\":[]}}\n";

static struct {
  const char *run_directory, *name, *tap;
  int control, fail_after_ms, fail_status, hang_after_ms, start_delay_ms;
  double start_failure_rate, fail_rate, hang_rate, ignore_button_rate;
  bool ignores_button, ignores_sigterm;
} options = {.name = "", .control = -1,
             .fail_after_ms = -1, .fail_status = 1, .hang_after_ms = -1, .fail_rate = 1, .hang_rate = 1};

static char pid_path[108];

static void die(const char *what) {
  fprintf(stderr, "volant-simulator: %s: %s\n", what, strerror(errno));
  exit(1);
}

// Whether something of this rate, from 0 to 1, happens to this process.
static bool happens(double rate) {
  uint32_t drawn;
  if (getrandom(&drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn) die("getrandom");
  return drawn < rate * 4294967296.0;
}

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void path_in(char *path, size_t size, const char *name) {
  if (snprintf(path, size, "%s/%s", options.run_directory, name) >= (int)size) {
    errno = ENAMETOOLONG;
    die(name);
  }
}

static int listen_on(const char *name) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  path_in(at.sun_path, sizeof at.sun_path, name);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 4) < 0) die(name);
  return fd;
}

// Opens the tap, as a hypervisor does, so that the link is up and busy.
static void open_tap(void) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", options.tap);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) die("tap");
}

static void write_pid(void) {
  path_in(pid_path, sizeof pid_path, "hypervisor.pid");
  FILE *file = fopen(pid_path, "w");
  if (file == NULL || fprintf(file, "%d\n", getpid()) < 0 || fclose(file) != 0) die("hypervisor.pid");
}

// Ends in an orderly way and removes the pid file, as QEMU does. After a SIGKILL it stays.
static void end(int client, const char *reason, bool guest) {
  if (client >= 0) {
    dprintf(client, "{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":%s,\"reason\":\"%s\"}}\n",
            guest ? "true" : "false", reason);
  }
  unlink(pid_path);
  exit(0);
}

// The value of "id" in a command, unchanged, or 0.
static long id_in(const char *line) {
  const char *at = strstr(line, "\"id\":");
  return at == NULL ? 0 : strtol(at + 5, NULL, 10);
}

static void execute(int client, const char *line) {
  long id = id_in(line);
  if (strstr(line, "\"query-status\"") != NULL) {
    dprintf(client, "{\"return\":{\"status\":\"running\",\"running\":true},\"id\":%ld}\n", id);
    return;
  }
  bool button = strstr(line, "\"system_powerdown\"") != NULL;
  bool quit = strstr(line, "\"quit\"") != NULL;
  if (!button && !quit && strstr(line, "\"qmp_capabilities\"") == NULL) {
    dprintf(client, "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"not simulated\"},\"id\":%ld}\n", id);
    return;
  }
  dprintf(client, "{\"return\":{},\"id\":%ld}\n", id);
  if (quit) end(client, "host-qmp-quit", false);
  if (button && !options.ignores_button) end(client, "guest-shutdown", true);
}

// Returns false if the client is gone.
static bool serve(int client) {
  static char buffer[LINE_BYTES_MAX];
  static size_t length;
  ssize_t count = read(client, buffer + length, sizeof buffer - 1 - length);
  if (count <= 0) {
    length = 0;
    return false;
  }
  length += (size_t)count;
  buffer[length] = '\0';
  char *line = buffer, *newline;
  while ((newline = strchr(line, '\n')) != NULL) {
    *newline = '\0';
    execute(client, line);
    line = newline + 1;
  }
  length -= (size_t)(line - buffer);
  memmove(buffer, line, length);
  if (length == sizeof buffer - 1) length = 0;
  return true;
}

static void say_who(int console) {
  int client = accept4(console, NULL, NULL, SOCK_CLOEXEC);
  if (client < 0) return;
  dprintf(client, "This is the volant simulator playing %s: there is no guest.\r\n", options.name);
  close(client);
}

static void on_signal(int signals, int client) {
  struct signalfd_siginfo info;
  if (read(signals, &info, sizeof info) != (ssize_t)sizeof info) return;
  if (!options.ignores_sigterm) end(client, "host-signal", false);
}

// Like a hypervisor whose main loop stands still: it answers nothing, and only SIGKILL ends it.
static void hang(void) __attribute__((noreturn));
static void hang(void) {
  fprintf(stderr, "volant-simulator: hanging as asked\n");
  for (;;) pause();
}

static void fail(void) __attribute__((noreturn));
static void fail(void) {
  fprintf(stderr, "volant-simulator: failing as asked\n");
  exit(options.fail_status);
}

// How long to wait for the next thing that was asked for; -1 if there is none. What is due happens.
static int until_next(long started_ms) {
  long past_ms = now_ms() - started_ms;
  if (options.fail_after_ms >= 0 && past_ms >= options.fail_after_ms) fail();
  if (options.hang_after_ms >= 0 && past_ms >= options.hang_after_ms) hang();
  long crash = options.fail_after_ms < 0 ? -1 : options.fail_after_ms - past_ms;
  long freeze = options.hang_after_ms < 0 ? -1 : options.hang_after_ms - past_ms;
  return (int)(crash < 0 || (freeze >= 0 && freeze < crash) ? freeze : crash);
}

// Draws once, at the start, what happens to this process.
static void draw(void) {
  if (happens(options.start_failure_rate)) fail();
  if (!happens(options.fail_rate)) options.fail_after_ms = -1;
  if (!happens(options.hang_rate)) options.hang_after_ms = -1;
  if (happens(options.ignore_button_rate)) options.ignores_button = true;
  struct timespec delay = {options.start_delay_ms / 1000, options.start_delay_ms % 1000 * 1000000L};
  nanosleep(&delay, NULL);
}

static void run(void) __attribute__((noreturn));
static void run(void) {
  long started_ms = now_ms();
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  int control = options.control >= 0 ? options.control : listen_on("control.sock");
  int client = -1;
  struct pollfd watched[4] = {
      {.fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN},
      {.fd = listen_on("serial.sock"), .events = POLLIN},
      {.fd = control, .events = POLLIN},
      {.fd = -1, .events = POLLIN},
  };
  for (;;) {
    // A second client waits in the backlog until the first one is gone.
    watched[2].fd = client < 0 ? control : -1;
    watched[3].fd = client;
    if (poll(watched, 4, until_next(started_ms)) <= 0) continue;
    if (watched[0].revents != 0) on_signal(watched[0].fd, client);
    if (watched[1].revents != 0) say_who(watched[1].fd);
    if (watched[2].fd >= 0 && watched[2].revents != 0) {
      client = accept4(control, NULL, NULL, SOCK_CLOEXEC);
      if (client >= 0) dprintf(client, "%s", greeting);
    } else if (watched[3].revents != 0 && !serve(client)) {
      close(client);
      client = -1;
    }
  }
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(argv[i], "--version") == 0) {
      puts("volant-simulator version " VERSION);
      return 0;
    }
    if (strcmp(argv[i], "--ignore-button") == 0) options.ignores_button = true;
    else if (strcmp(argv[i], "--ignore-sigterm") == 0) options.ignores_sigterm = true;
    else if (strcmp(argv[i], "--run-directory") == 0) options.run_directory = value, i++;
    else if (strcmp(argv[i], "--name") == 0) options.name = value, i++;
    else if (strcmp(argv[i], "--tap") == 0) options.tap = value, i++;
    // A connection that is open stays open until the end.
    else if (strcmp(argv[i], "--tap-descriptor") == 0) i++;
    else if (strcmp(argv[i], "--control-descriptor") == 0) options.control = atoi(value), i++;
    else if (strcmp(argv[i], "--pid-file") == 0) i++;
    else if (strcmp(argv[i], "--fail-after-ms") == 0) options.fail_after_ms = atoi(value), i++;
    else if (strcmp(argv[i], "--fail-status") == 0) options.fail_status = atoi(value), i++;
    else if (strcmp(argv[i], "--hang-after-ms") == 0) options.hang_after_ms = atoi(value), i++;
    else if (strcmp(argv[i], "--start-delay-ms") == 0) options.start_delay_ms = atoi(value), i++;
    // Rates are from 0 to 1. Without them everything that was asked for happens.
    else if (strcmp(argv[i], "--start-failure-rate") == 0) options.start_failure_rate = atof(value), i++;
    else if (strcmp(argv[i], "--fail-rate") == 0) options.fail_rate = atof(value), i++;
    else if (strcmp(argv[i], "--hang-rate") == 0) options.hang_rate = atof(value), i++;
    else if (strcmp(argv[i], "--ignore-button-rate") == 0) options.ignore_button_rate = atof(value), i++;
    else {
      fprintf(stderr, "volant-simulator: unknown option %s\n", argv[i]);
      return 2;
    }
  }
  if (options.run_directory == NULL) {
    fprintf(stderr, "volant-simulator: --run-directory is required\n");
    return 2;
  }
  draw();
  if (options.tap != NULL) open_tap();
  write_pid();
  run();
}
