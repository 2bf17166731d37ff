// guest: the root disk's own init. It becomes process 1, as it expects, and the agent continues in another process.
#include "system/init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/say.h"

// SIGRTMIN+4 of systemd, with glibc's SIGRTMIN. musl's is one higher, which would mean a reboot.
#define SYSTEMD_POWER_OFF (34 + 4)
#define POWER_OFF_PROGRAM "/sbin/poweroff"

static bool beside;
static pid_t asking;

bool init_is_beside(void) {
  return beside;
}

// Returns only on failure.
static void execute(const char *path) {
  char *arguments[] = {(char *)path, NULL};
  char *variables[] = {"HOME=/", "TERM=linux",
                       "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  execve(path, arguments, variables);
}

// The pipe tells the child about its parent: if the parent executes the init, its end of the pipe closes.
static void become_agent(const int *verdict, char *name) {
  char failed;
  close(verdict[1]);
  if (read(verdict[0], &failed, 1) > 0) _exit(0);
  close(verdict[0]);
  setsid();
  // systemd does not kill processes with this mark when it shuts down.
  name[0] = '@';
  beside = true;
}

bool init_start(const char *path, char *name) {
  int verdict[2];
  if (pipe2(verdict, O_CLOEXEC) < 0) return false;
  pid_t pid = fork();
  if (pid == 0) {
    become_agent(verdict, name);
    return true;
  }
  if (pid > 0) execute(path);
  int why = errno;
  if (pid > 0 && write(verdict[1], "", 1) == 1) waitpid(pid, NULL, 0);
  close(verdict[0]);
  close(verdict[1]);
  errno = why;
  return false;
}

void init_power_off(void) {
  if (access("/run/systemd/system", F_OK) == 0) {
    kill(1, SYSTEMD_POWER_OFF);
    return;
  }
  // The program that belongs to the init is asked first.
  asking = access(POWER_OFF_PROGRAM, X_OK) == 0 ? fork() : -1;
  if (asking == 0) {
    execute(POWER_OFF_PROGRAM);
    _exit(127);
  }
  // The signal that busybox's init understands.
  if (asking < 0) kill(1, SIGUSR2);
}

void init_child_ended(pid_t pid, int status) {
  if (pid != asking) return;
  asking = 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  say("%s has failed: asking the init by a signal", POWER_OFF_PROGRAM);
  kill(1, SIGUSR2);
}
