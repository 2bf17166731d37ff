// guest: requests about files, each in a process of its own, so that a slow disk never stops the agent.
#include "files/transfer.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/files.h"
#include "files/change.h"
#include "files/exchange.h"
#include "files/options.h"
#include "files/pack.h"
#include "files/place.h"
#include "files/read.h"
#include "files/unpack.h"
#include "files/watch.h"

#define TRANSFERS_MAX 16
#define WATCHES_MAX 8
#define PROCESSES_MAX (TRANSFERS_MAX + WATCHES_MAX)
#define CLIENT_FD 3
#define TAR_TYPE "application/x-tar"

// Those of watches are the last ones: they have no end of their own, and leave the places of the others free.
static pid_t processes[PROCESSES_MAX];

static bool is_watch(const struct request *request) {
  return strncmp(request->target, TRANSFER_WATCH_PATH, strlen(TRANSFER_WATCH_PATH)) == 0;
}

// Whether a header of the request names archives.
static bool names_tar(const char *header) {
  char value[256];
  return exchange_header(header, value, sizeof value) && strcasestr(value, TAR_TYPE) != NULL;
}

__attribute__((noreturn)) static void serve(const struct request *request) {
  static struct file_options options;
  const char *method = request->method;
  const char *route = is_watch(request) ? TRANSFER_WATCH_PATH : TRANSFER_PATH;
  const char *wrong = options_read(request->target + strlen(route), &options);
  if (wrong != NULL) exchange_fail(400, "PARAMETER_INVALID", wrong, "this part of the request is not valid");
  int root = place_open_root(options.root);
  if (root < 0) exchange_fail(404, "FILE_NOT_FOUND", options.root, "there is no such root directory");
  if (is_watch(request)) watch_serve(root, &options);
  bool is_tar = options.format == FORMAT_TAR;
  if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) {
    if (is_tar || (options.format == FORMAT_NONE && names_tar("Accept"))) pack_serve(root, &options);
    read_serve(root, &options);
  }
  if (strcmp(method, "PUT") == 0) {
    if (options.makes_directory) change_make_directory(root, &options);
    if (is_tar || (options.format == FORMAT_NONE && names_tar("Content-Type"))) unpack_serve(root, &options);
    change_write(root, &options);
  }
  if (strcmp(method, "PATCH") == 0) change_set(root, &options);
  if (strcmp(method, "DELETE") == 0) change_delete(root, &options);
  exchange_fail(405, "METHOD_NOT_ALLOWED", NULL, "files have no such method");
}

// What the agent has and a process that may wait must not have: its descriptors, its signals, its protection from the kernel's
// search for memory.
static void leave_agent(int fd) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, "volant-files");
  write_file("/proc/self/oom_score_adj", "0");
  if (fd != CLIENT_FD) dup2(fd, CLIENT_FD);
  syscall(SYS_close_range, CLIENT_FD + 1, ~0U, 0);
  // The agent ignores it, too: a client that is gone is noticed by the error.
  signal(SIGPIPE, SIG_IGN);
  umask(0);
}

bool transfer_begin(int fd, const char *head, size_t length, const struct request *request) {
  pid_t *place = NULL;
  bool watches = is_watch(request);
  for (int i = watches ? TRANSFERS_MAX : 0; i < (watches ? PROCESSES_MAX : TRANSFERS_MAX); i++) {
    if (processes[i] == 0) place = &processes[i];
  }
  pid_t pid = place == NULL ? -1 : fork();
  if (pid < 0) return false;
  if (pid == 0) {
    leave_agent(fd);
    exchange_begin(CLIENT_FD, head, request->head_length, length);
    serve(request);
  }
  *place = pid;
  return true;
}

void transfer_child_ended(pid_t pid) {
  for (int i = 0; i < PROCESSES_MAX; i++) {
    if (processes[i] == pid) processes[i] = 0;
  }
}

void transfer_end_all(void) {
  for (int i = 0; i < PROCESSES_MAX; i++) {
    if (processes[i] > 0) kill(processes[i], SIGKILL);
  }
}
