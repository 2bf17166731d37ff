// guest: a request to run a program. Users are looked up in the process that becomes the program, because that reads files.
#include "exec/command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"
#include "system/environment.h"

#define GROUPS_MAX 256
#define TIMEOUT_MS_MAX INT32_MAX
#define WINDOW_MAX 10000
#define STANDARD_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define STATUS_OTHER 125
#define STATUS_REFUSED 126
#define STATUS_MISSING 127

// ---- the request

static bool take_id(struct command *command, const struct json *request) {
  const char *id = command->id = json_text(request, "id", "");
  size_t length = strlen(id);
  return length > 0 && length <= COMMAND_ID_BYTES_MAX &&
         strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789") == length;
}

static bool take_arguments(struct command *command, const struct json *argv, size_t *bytes) {
  size_t count = 0;
  if (argv == NULL || argv->type != JSON_ARRAY) return false;
  for (const struct json *item = argv->child; item != NULL; item = item->next) {
    if (item->type != JSON_STRING || count == ARGUMENTS_MAX) return false;
    if (strlen(item->string) > ARGUMENT_BYTES_MAX) return false;
    *bytes += strlen(item->string) + 1 + sizeof(char *);
    command->arguments[count++] = item->string;
  }
  return count > 0 && command->arguments[0][0] != '\0';
}

static bool add_variable(struct command *command, const char *name, const char *value) {
  size_t size = strlen(name) + strlen(value) + 2;
  bool fits = command->variable_count < VARIABLES_MAX + COMMAND_VARIABLES_ADDED && size <= ARGUMENT_BYTES_MAX + 1;
  char *text = fits ? malloc(size) : NULL;
  if (text == NULL) return false;
  snprintf(text, size, "%s=%s", name, value);
  command->variables[command->variable_count++] = text;
  return true;
}

static bool has_variable(const struct command *command, const char *name) {
  size_t length = strlen(name);
  for (size_t i = 0; i < command->variable_count; i++) {
    if (strncmp(command->variables[i], name, length) == 0 && command->variables[i][length] == '=') return true;
  }
  return false;
}

static void add_default(struct command *command, const char *name, const char *value) {
  if (!has_variable(command, name)) add_variable(command, name, value);
}

static bool take_variables(struct command *command, const struct json *env, size_t *bytes) {
  if (env == NULL) return true;
  if (env->type != JSON_OBJECT) return false;
  for (const struct json *item = env->child; item != NULL; item = item->next) {
    if (item->type != JSON_STRING || command->variable_count == VARIABLES_MAX) return false;
    if (!add_variable(command, item->name, item->string)) return false;
    *bytes += strlen(item->name) + strlen(item->string) + 2 + sizeof(char *);
  }
  return true;
}

static bool flag_of(const struct json *request, const char *name) {
  const struct json *member = json_member(request, name);
  return member != NULL && member->type == JSON_BOOL && member->number != 0;
}

// A whole number from 0 to `most`, or `fallback` if there is none.
static size_t count_of(const struct json *request, const char *name, size_t most, size_t fallback) {
  const struct json *member = json_member(request, name);
  if (member == NULL || member->type != JSON_NUMBER || !(member->number >= 0)) return fallback;
  return member->number > (double)most ? most : (size_t)member->number;
}

const char *command_take(struct command *command, const struct json *request) {
  size_t bytes = 0;
  memset(command, 0, sizeof *command);
  if (!take_id(command, request)) return "id must be 1 to 32 lower-case letters and digits";
  if (!take_arguments(command, json_member(request, "argv"), &bytes)) return "argv must be texts, and not too many";
  if (!take_variables(command, json_member(request, "env"), &bytes)) return "env must be texts, and not too many";
  if (bytes > EXECUTE_BYTES_MAX) return "argv and env are too long together";
  command->directory = json_text(request, "workdir", "/");
  if (strlen(command->directory) > PATH_BYTES_MAX) return "workdir is too long";
  command->user = json_text(request, "user", NULL);
  if (command->user != NULL && strlen(command->user) > COMMAND_USER_BYTES_MAX) return "user is too long";
  command->tty = flag_of(request, "tty");
  command->takes_input = flag_of(request, "stdin");
  command->rows = (unsigned)count_of(request, "rows", WINDOW_MAX, 24);
  command->columns = (unsigned)count_of(request, "columns", WINDOW_MAX, 80);
  command->timeout_ms = (int)count_of(request, "timeout_ms", TIMEOUT_MS_MAX, 0);
  command->kill_after_ms = (int)count_of(request, "kill_after_ms", TIMEOUT_MS_MAX, 5000);
  command->output_bytes_max = count_of(request, "output_bytes_max", COMMAND_OUTPUT_BYTES_MAX, 262144);
  return NULL;
}

void command_describe(const struct command *command, char *buffer, size_t size) {
  size_t length = 0;
  buffer[0] = '\0';
  for (char *const *argument = command->arguments; *argument != NULL; argument++) {
    // Room for what surrounds an argument, and one character with escapes.
    if (length + 16 >= size) return;
    length += (size_t)snprintf(buffer + length, size - length, "%s\"", length > 0 ? "," : "");
    length = json_escape(buffer, size - 8, length, *argument, strlen(*argument));
    buffer[length++] = '"';
    buffer[length] = '\0';
  }
}

void command_free(struct command *command) {
  for (size_t i = 0; i < command->variable_count; i++) free(command->variables[i]);
  command->variable_count = 0;
}

// ---- the process

__attribute__((noreturn)) static void fail(int report, int status, const char *what, const char *name, const char *why) {
  char text[COMMAND_FAILURE_BYTES];
  text[0] = (char)status;
  int length = snprintf(text + 1, sizeof text - 1, "%s %.80s%s%s", what, name, why[0] == '\0' ? "" : ": ", why);
  // If the write fails, the agent still gets the exit status.
  ssize_t written = write(report, text, 1 + (size_t)(length < COMMAND_FAILURE_BYTES - 2 ? length : COMMAND_FAILURE_BYTES - 2));
  (void)written;
  _exit(status);
}

// The number that a text is, or -1.
static long number_in(const char *text) {
  size_t digits = strspn(text, "0123456789");
  return digits > 0 && digits <= 9 && text[digits] == '\0' ? strtol(text, NULL, 10) : -1;
}

// USER or USER:GROUP, each by name or number. A user that is in no file has no groups beside the one of the same number.
static struct passwd *find_user(const struct command *command, int report, struct passwd *unknown) {
  static char name[COMMAND_USER_BYTES_MAX + 1];
  const char *user = command->user != NULL ? command->user : "0";
  size_t length = strcspn(user, ":");
  memcpy(name, user, length);
  name[length] = '\0';
  long number = number_in(name);
  struct passwd *entry = number >= 0 ? getpwuid((uid_t)number) : getpwnam(name);
  if (entry == NULL && number < 0) fail(report, STATUS_OTHER, "there is no user", name, "");
  if (entry == NULL) {
    *unknown = (struct passwd){.pw_name = name, .pw_uid = (uid_t)number, .pw_gid = (gid_t)number, .pw_dir = "/"};
    if (number == 0) unknown->pw_name = "root", unknown->pw_dir = "/root";
    entry = unknown;
  }
  if (user[length] == '\0') return entry;
  const char *group = user + length + 1;
  long group_number = number_in(group);
  struct group *found = group_number >= 0 ? NULL : getgrnam(group);
  if (found == NULL && group_number < 0) fail(report, STATUS_OTHER, "there is no group", group, "");
  entry->pw_gid = found != NULL ? found->gr_gid : (gid_t)group_number;
  return entry;
}

static void become_user(const struct passwd *entry, int report) {
  gid_t groups[GROUPS_MAX];
  int count = GROUPS_MAX;
  // With more groups than there is room for, the process gets the first ones.
  if (getgrouplist(entry->pw_name, entry->pw_gid, groups, &count) < 0) count = GROUPS_MAX;
  bool is_done = setgroups((size_t)count, groups) == 0 && setgid(entry->pw_gid) == 0 && setuid(entry->pw_uid) == 0;
  if (!is_done) fail(report, STATUS_OTHER, "cannot become user", entry->pw_name, strerror(errno));
}

static void take_terminal(const struct command *command, const struct command_files *files, const struct passwd *entry) {
  struct winsize size = {.ws_row = (unsigned short)command->rows, .ws_col = (unsigned short)command->columns};
  if (!command->tty) return;
  ioctl(files->input, TIOCSCTTY, 0);
  ioctl(files->input, TIOCSWINSZ, &size);
  // As login does, so that the program may open its terminal again.
  if (fchown(files->input, entry->pw_uid, (gid_t)-1) < 0) return;
}

void command_become(struct command *command, const struct command_files *files) {
  struct passwd unknown;
  int report = files->report;
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  setsid();
  const struct passwd *entry = find_user(command, report, &unknown);
  take_terminal(command, files, entry);
  int input = files->input >= 0 ? files->input : open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(input, 0);
  dup2(files->output, 1);
  dup2(files->error, 2);
  environment_of_workload();
  add_default(command, "PATH", STANDARD_PATH);
  add_default(command, "HOME", entry->pw_dir);
  add_default(command, "USER", entry->pw_name);
  add_default(command, "LOGNAME", entry->pw_name);
  if (command->tty) add_default(command, "TERM", "xterm");
  become_user(entry, report);
  if (chdir(command->directory) < 0) {
    fail(report, STATUS_OTHER, "cannot enter", command->directory, strerror(errno));
  }
  environ = command->variables;
  const char *path = command->arguments[0];
  execvp(path, command->arguments);
  int why = errno;
  // The kernel's message, "No such file", would be misleading if the file exists.
  bool is_there = why == ENOENT && strchr(path, '/') != NULL && access(path, F_OK) == 0;
  int status = why == ENOENT && !is_there ? STATUS_MISSING : STATUS_REFUSED;
  fail(report, status, "cannot execute", path, is_there ? "its interpreter or loader is missing" : strerror(why));
}
