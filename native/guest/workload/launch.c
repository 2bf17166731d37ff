// guest: the process that becomes the workload, and what a process that has ended leaves behind. workload.c decides when a
// program is started and what its end means.
#include "workload/launch.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "system/environment.h"
#include "workload/user.h"

#define SHOWN_BYTES_MAX 60

// The number of bytes of a path that are shown, so that no UTF-8 character is split.
static int shown_bytes(const char *path) {
  size_t length = strnlen(path, SHOWN_BYTES_MAX);
  while (length > 0 && ((unsigned char)path[length] & 0xc0) == 0x80) length--;
  return (int)length;
}

// Reports the failure in the log and to the agent, which cannot know otherwise why the process ended.
__attribute__((noreturn)) static void fail(int report, int status, const char *what, const char *path, const char *why) {
  char text[LAUNCH_FAILURE_BYTES];
  int length = snprintf(text, sizeof text, "cannot %s %.*s: %.60s", what, shown_bytes(path), path, why);
  dprintf(2, "volant-agent: cannot %s %s: %s\n", what, path, why);
  // If the write fails, the agent still gets the exit status.
  ssize_t written = write(report, text, (size_t)length);
  (void)written;
  _exit(status);
}

// Gives the output to the user: a program may open /dev/stdout by its name. Returns false, with errno, on failure.
static bool become(const struct user *user) {
  if (user->uid != 0 && (fchown(1, user->uid, user->gid) < 0 || fchown(2, user->uid, user->gid) < 0)) return false;
  return setgroups(user->group_count, user->groups) == 0 && setgid(user->gid) == 0 && setuid(user->uid) == 0;
}

static void take_user(struct program *program, int report) {
  static char home[USER_HOME_BYTES + sizeof "HOME="];
  struct user user;
  const char *wrong = user_find(program->user, &user);
  if (wrong != NULL) fail(report, 126, "become user", program->user, wrong);
  if (program->home_at >= 0 && program->user[0] != '\0') {
    snprintf(home, sizeof home, "HOME=%s", user.home[0] == '\0' ? "/" : user.home);
    program->variables[program->home_at] = home;
  }
  if (program->user[0] != '\0' && !become(&user)) fail(report, 126, "become user", program->user, strerror(errno));
}

void launch_child(struct program *program, int out, int err, int report) {
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
  take_user(program, report);
  environ = (char **)program->variables;
  execvp(path, program->arguments);
  int why = errno;
  // The kernel's message, "No such file", would be misleading if the file exists.
  bool is_there = why == ENOENT && strchr(path, '/') != NULL && access(path, F_OK) == 0;
  fail(report, 127, "execute", path, is_there ? "its interpreter or loader is missing" : strerror(why));
}

static bool (*is_known_group)(pid_t group);

void launch_know_group(bool (*is_known)(pid_t group)) {
  is_known_group = is_known;
}

// Whether a process is an orphan that belongs to neither group. proc(5) describes `stat`: the name is in parentheses and
// may have any characters.
static bool is_left_behind(const char *pid, pid_t group, pid_t other_group) {
  char path[64], stat[512], state;
  int parent, its_group;
  snprintf(path, sizeof path, "/proc/%.16s/stat", pid);
  if (read_file(path, stat, sizeof stat) <= 0) return false;
  const char *end = strrchr(stat, ')');
  if (end == NULL || sscanf(end + 1, " %c %d %d", &state, &parent, &its_group) != 3) return false;
  if (is_known_group != NULL && is_known_group(its_group)) return false;
  return parent == (int)getpid() && its_group != group && its_group != other_group && state != 'Z';
}

unsigned launch_left_behind(pid_t group, pid_t other_group) {
  DIR *directory = opendir("/proc");
  if (directory == NULL) return 0;
  unsigned count = 0;
  struct dirent *entry;
  while ((entry = readdir(directory)) != NULL) {
    if (isdigit((unsigned char)entry->d_name[0]) && is_left_behind(entry->d_name, group, other_group)) count++;
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
