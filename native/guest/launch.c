// guest: the process that becomes the workload, and what one that has ended leaves behind. When it is started, and what
// its end means, is workload.c's business.
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

#define SHOWN_BYTES_MAX 60

// So many bytes of a path are shown: no character of UTF-8 is cut.
static int shown_bytes(const char *path) {
  size_t length = strnlen(path, SHOWN_BYTES_MAX);
  while (length > 0 && ((unsigned char)path[length] & 0xc0) == 0x80) length--;
  return (int)length;
}

// Told twice: to whoever reads the log, and to the agent, which cannot see why a program ended.
__attribute__((noreturn)) static void fail(int report, int status, const char *what, const char *path, const char *why) {
  char text[LAUNCH_FAILURE_BYTES];
  int length = snprintf(text, sizeof text, "cannot %s %.*s: %.60s", what, shown_bytes(path), path, why);
  dprintf(2, "volant-agent: cannot %s %s: %s\n", what, path, why);
  // Where that fails the agent still has the status.
  ssize_t told = write(report, text, (size_t)length);
  (void)told;
  _exit(status);
}

void launch_child(const struct program *program, int out, int err, int report) {
  const char *path = program->arguments[0];
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  setsid();
  int input = open("/dev/null", O_RDONLY);
  dup2(input, 0);
  dup2(out, 1);
  dup2(err, 2);
  if (chdir(program->directory) < 0) fail(report, 126, "enter", program->directory, strerror(errno));
  environment_of_workload();
  environ = (char **)program->variables;
  execvp(path, program->arguments);
  int why = errno;
  // The kernel's word for it, "No such file", would mislead: the file is there.
  bool is_there = why == ENOENT && strchr(path, '/') != NULL && access(path, F_OK) == 0;
  fail(report, 127, "execute", path, is_there ? "its interpreter or loader is missing" : strerror(why));
}

// Whether a process is an orphan of the guest that runs outside of a group. `stat` as proc(5) has it: the name, in
// parentheses, may have any characters.
static bool is_left_behind(const char *pid, pid_t group) {
  char path[64], stat[512], state;
  int parent, its_group;
  snprintf(path, sizeof path, "/proc/%.16s/stat", pid);
  if (read_file(path, stat, sizeof stat) <= 0) return false;
  const char *end = strrchr(stat, ')');
  if (end == NULL || sscanf(end + 1, " %c %d %d", &state, &parent, &its_group) != 3) return false;
  return parent == (int)getpid() && its_group != group && its_group != health_group() && state != 'Z';
}

unsigned launch_left_behind(pid_t group) {
  DIR *directory = opendir("/proc");
  if (directory == NULL) return 0;
  unsigned count = 0;
  struct dirent *entry;
  while ((entry = readdir(directory)) != NULL) {
    if (isdigit((unsigned char)entry->d_name[0]) && is_left_behind(entry->d_name, group)) count++;
  }
  closedir(directory);
  return count;
}

unsigned long launch_memory_kills(void) {
  static char text[16384];
  const char *name = "\noom_kill ";
  if (read_file("/proc/vmstat", text, sizeof text) <= 0) return 0;
  const char *line = strstr(text, name);
  return line == NULL ? 0 : strtoul(line + strlen(name), NULL, 10);
}
